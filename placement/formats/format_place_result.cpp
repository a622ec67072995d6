// What `moesim place --json` prints: `slots`, or, without replicas, the device of every expert.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "placement/formats/format_parts.h"
#include "sim/core/error.h"

namespace moesim::formats {
namespace {

using Json = nlohmann::json;

// {"first_slot": [...], "slot_expert": [[...]]}
ExpertPlacement from_slots(const Json& slots, const std::string& where) {
  ExpertPlacement placement;
  placement.first_slot = detail::id_row(
      detail::member(slots, "first_slot", where, "the first slot of every GPU, then their number"),
      where + "/first_slot", 0);
  if (placement.first_slot.size() < 2 || placement.first_slot.front() != 0 ||
      !std::ranges::is_sorted(placement.first_slot)) {
    throw ConfigError(where + "/first_slot", "slots are numbered from 0 and never decrease");
  }
  placement.devices = static_cast<int>(placement.first_slot.size()) - 1;
  placement.slot_expert = detail::id_rows(
      detail::member(slots, "slot_expert", where, "the expert of every [layer][slot]"),
      where + "/slot_expert", -1);
  if (std::cmp_not_equal(placement.slot_expert.front().size(), placement.slots())) {
    throw ConfigError(where + "/slot_expert", "first_slot ends at " +
                                                  std::to_string(placement.slots()) +
                                                  ", so every layer has that many slots");
  }
  detail::check_complete(placement, where + "/slot_expert");
  return placement;
}

// [layer][expert] -> device. As many slots per device as its fullest layer needs.
ExpertPlacement from_devices(const detail::IdRows& devices, int given) {
  ExpertPlacement placement;
  placement.experts = static_cast<int>(devices.front().size());
  placement.devices = given;
  for (const auto& row : devices) {
    placement.devices = std::max(placement.devices, *std::ranges::max_element(row) + 1);
  }
  std::vector<int> most(static_cast<std::size_t>(placement.devices), 0);
  for (const auto& row : devices) {
    for (std::size_t g = 0; g < most.size(); ++g) {
      most[g] = std::max(most[g], static_cast<int>(std::ranges::count(row, static_cast<int>(g))));
    }
  }
  placement.first_slot.push_back(0);
  for (const int slots : most) {
    placement.first_slot.push_back(placement.first_slot.back() + slots);
  }
  for (const auto& row : devices) {
    std::vector<std::int32_t> slots(static_cast<std::size_t>(placement.slots()), -1);
    std::vector<int> next(placement.first_slot.begin(), placement.first_slot.end() - 1);
    for (std::size_t e = 0; e < row.size(); ++e) {
      slots[static_cast<std::size_t>(next[static_cast<std::size_t>(row[e])]++)] =
          static_cast<std::int32_t>(e);
    }
    placement.slot_expert.push_back(std::move(slots));
  }
  return placement;
}

bool has_replicas(const Json& result) {
  const auto replicas = result.find("replicas");
  return replicas != result.end() && !replicas->is_null() && !replicas->empty();
}

}  // namespace

bool is_place_result(const PlacementDocument& document) {
  return document.json != nullptr && document.json->is_object() &&
         document.json->contains("placement");
}

PlacementFile read_place_result(const PlacementDocument& document, const FormatOptions& options) {
  const std::string root = document.name + "#";
  const Json& result = *document.json;
  if (result.contains("slots")) {
    return {from_slots(result["slots"], root + "/slots"), {}, {}};
  }
  if (has_replicas(result)) {
    throw ConfigError(root + "/slots", "missing; a result with replicas says here where they are");
  }
  const detail::IdRows devices = detail::id_rows(result["placement"], root + "/placement", 0);
  if (devices.front().empty()) {
    throw ConfigError(root + "/placement/0", "no experts; give the GPU of every expert");
  }
  return {from_devices(devices, options.devices), {}, {}};
}

}  // namespace moesim::formats
