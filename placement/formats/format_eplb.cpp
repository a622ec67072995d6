// The arrays that EPLB's rebalance_experts returns, as JSON:
//
//   {"phy2log": [layer][slot] -> expert, "log2phy": [layer][expert][replica] -> slot (padded with
//    -1), "logcnt": [layer][expert] -> replicas}
//
// Only phy2log is needed to read; the other two are checked against it.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "placement/formats/format_parts.h"
#include "sim/core/error.h"

namespace moesim::formats {
namespace {

using Json = nlohmann::json;
using detail::IdRows;
constexpr std::string_view k_name = "eplb";

// [layer][expert] -> slots, ascending.
std::vector<IdRows> slots_of(const ExpertPlacement& placement) {
  std::vector<IdRows> result;
  for (const auto& row : placement.slot_expert) {
    IdRows slots(static_cast<std::size_t>(placement.experts));
    for (std::size_t s = 0; s < row.size(); ++s) {
      slots[static_cast<std::size_t>(row[s])].push_back(static_cast<std::int32_t>(s));
    }
    result.push_back(std::move(slots));
  }
  return result;
}

void check_counts(const Json& counts, const std::vector<IdRows>& slots, const std::string& where) {
  const IdRows rows = detail::id_rows(counts, where, 0);
  for (std::size_t l = 0; l < slots.size(); ++l) {
    for (std::size_t e = 0; e < slots[l].size(); ++e) {
      const bool given = l < rows.size() && e < rows[l].size();
      if (!given || std::cmp_not_equal(rows[l][e], slots[l][e].size())) {
        throw ConfigError(where + "/" + std::to_string(l) + "/" + std::to_string(e),
                          (given ? std::to_string(rows[l][e]) : std::string("missing")) +
                              ", but phy2log has " + std::to_string(slots[l][e].size()) +
                              " replicas of that expert");
      }
    }
  }
}

void check_slots(const Json& lists, const std::vector<IdRows>& slots, const std::string& where) {
  if (detail::array_of(lists, where).size() != slots.size()) {
    throw ConfigError(where, std::to_string(lists.size()) + " layers, but phy2log has " +
                                 std::to_string(slots.size()));
  }
  for (std::size_t l = 0; l < slots.size(); ++l) {
    const std::string layer = where + "/" + std::to_string(l);
    const IdRows rows = detail::id_rows(lists[l], layer, -1);
    if (rows.size() != slots[l].size()) {
      throw ConfigError(layer, std::to_string(rows.size()) + " experts, but phy2log has " +
                                   std::to_string(slots[l].size()));
    }
    for (std::size_t e = 0; e < rows.size(); ++e) {
      std::vector<std::int32_t> given = rows[e];
      std::erase(given, -1);
      std::ranges::sort(given);
      if (given != slots[l][e]) {
        throw ConfigError(layer + "/" + std::to_string(e),
                          "differs from phy2log, which has that "
                          "expert in the slots " +
                              detail::row_text(slots[l][e]));
      }
    }
  }
}

}  // namespace

bool is_eplb(const PlacementDocument& document) {
  return document.json != nullptr && document.json->is_object() &&
         document.json->contains("phy2log");
}

PlacementFile read_eplb(const PlacementDocument& document, const FormatOptions& options) {
  const std::string root = document.name + "#";
  const Json& json = *document.json;
  const std::string where = root + "/phy2log";
  PlacementFile file;
  file.placement =
      detail::even_placement(detail::id_rows(json["phy2log"], where, 0), options.devices, where);
  detail::check_complete(file.placement, where);
  const std::vector<IdRows> slots = slots_of(file.placement);
  if (json.contains("logcnt")) {
    check_counts(json["logcnt"], slots, root + "/logcnt");
  }
  if (json.contains("log2phy")) {
    check_slots(json["log2phy"], slots, root + "/log2phy");
  }
  return file;
}

std::string write_eplb(const ExpertPlacement& placement, const FormatOptions& /*options*/) {
  detail::equal_full_slots(placement, k_name);
  std::vector<IdRows> slots = slots_of(placement);
  IdRows counts;
  std::size_t most = 0;
  for (const IdRows& layer : slots) {
    counts.emplace_back();
    for (const auto& list : layer) {
      counts.back().push_back(static_cast<std::int32_t>(list.size()));
      most = std::max(most, list.size());
    }
  }
  std::string lists = "[\n";
  for (std::size_t l = 0; l < slots.size(); ++l) {
    for (auto& list : slots[l]) {
      list.resize(most, -1);
    }
    lists += "    " + detail::rows_text(slots[l], "    ") + (l + 1 < slots.size() ? ",\n" : "\n");
  }
  return "{\n  \"phy2log\": " + detail::rows_text(placement.slot_expert, "  ") +
         ",\n  \"log2phy\": " + lists + "  ],\n  \"logcnt\": " + detail::rows_text(counts, "  ") +
         "\n}\n";
}

}  // namespace moesim::formats
