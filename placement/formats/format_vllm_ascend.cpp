// vLLM-Ascend's expert map, expert_map_path (vllm_ascend/eplb/core/eplb_utils.py):
//
//   {"moe_layer_count": L, "layer_list": [{"layer_id": 0, "device_count": G, "device_list":
//     [{"device_id": 0, "device_expert": [expert per slot]}, ...]}, ...]}
//
// Layers are the MoE layers, from 0; layers and devices are found by their place in the list, which
// their ids repeat. A device holds an expert at most once, since the engine inverts the lists.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "placement/formats/format_parts.h"
#include "sim/core/error.h"

namespace moesim::formats {
namespace {

using Json = nlohmann::json;
constexpr std::string_view k_name = "vllm-ascend";

void check_number(const Json& object, const std::string& key, std::size_t expected,
                  const std::string& where, const std::string& what) {
  const Json& value = detail::member(object, key, where, what);
  const int number = detail::integer_of(value, where + "/" + key, 0, 1 << 30);
  if (std::cmp_not_equal(number, expected)) {
    throw ConfigError(where + "/" + key, std::to_string(number) + ", but it is " + what + ": " +
                                             std::to_string(expected));
  }
}

// The experts of every device.
detail::IdRows devices_of(const Json& layer, std::size_t index, const std::string& where) {
  check_number(layer, "layer_id", index, where, "the layer's place in the list");
  const Json& list = detail::member(layer, "device_list", where, "an array of devices");
  const std::string here = where + "/device_list";
  check_number(layer, "device_count", detail::array_of(list, here).size(), where,
               "the length of device_list");
  detail::IdRows experts;
  for (std::size_t g = 0; g < list.size(); ++g) {
    const std::string device = here + "/" + std::to_string(g);
    check_number(list[g], "device_id", g, device, "the device's place in the list");
    experts.push_back(
        detail::id_row(detail::member(list[g], "device_expert", device, "the expert of every slot"),
                       device + "/device_expert", 0));
  }
  return experts;
}

// Slots per device: as many as its fullest layer has.
ExpertPlacement placement_of(const std::vector<detail::IdRows>& layers) {
  ExpertPlacement placement;
  placement.devices = static_cast<int>(layers.front().size());
  placement.first_slot.push_back(0);
  for (std::size_t g = 0; g < layers.front().size(); ++g) {
    std::size_t most = 0;
    for (const detail::IdRows& layer : layers) {
      most = std::max(most, layer[g].size());
    }
    placement.first_slot.push_back(placement.first_slot.back() + static_cast<int>(most));
  }
  for (const detail::IdRows& layer : layers) {
    std::vector<std::int32_t> slots(static_cast<std::size_t>(placement.slots()), -1);
    for (std::size_t g = 0; g < layer.size(); ++g) {
      std::ranges::copy(layer[g], slots.begin() + placement.first_slot[g]);
    }
    placement.slot_expert.push_back(std::move(slots));
  }
  return placement;
}

void check_no_twins(const ExpertPlacement& placement) {
  for (std::size_t l = 0; l < placement.slot_expert.size(); ++l) {
    for (std::size_t g = 0; g + 1 < placement.first_slot.size(); ++g) {
      std::vector<std::int32_t> held(
          placement.slot_expert[l].begin() + placement.first_slot[g],
          placement.slot_expert[l].begin() + placement.first_slot[g + 1]);
      std::ranges::sort(held);
      const auto twin = std::ranges::adjacent_find(held);
      if (twin != held.end()) {
        throw ConfigError(k_name, "a device holds an expert once, but GPU " + std::to_string(g) +
                                      " holds expert " + std::to_string(*twin) + " of layer " +
                                      std::to_string(l) +
                                      " twice; move one replica to another GPU");
      }
    }
  }
}

}  // namespace

bool is_vllm_ascend(const PlacementDocument& document) {
  return document.json != nullptr && document.json->is_object() &&
         document.json->contains("layer_list");
}

PlacementFile read_vllm_ascend(const PlacementDocument& document,
                               const FormatOptions& /*options*/) {
  const std::string root = document.name + "#";
  const std::string where = root + "/layer_list";
  const Json& list = detail::array_of((*document.json)["layer_list"], where);
  check_number(*document.json, "moe_layer_count", list.size(), root, "the length of layer_list");
  std::vector<detail::IdRows> layers;
  for (const Json& layer : list) {
    const std::string here = where + "/" + std::to_string(layers.size());
    layers.push_back(devices_of(layer, layers.size(), here));
    if (layers.back().size() != layers.front().size()) {
      throw ConfigError(here + "/device_list", std::to_string(layers.back().size()) +
                                                   " devices, but layer 0 has " +
                                                   std::to_string(layers.front().size()));
    }
  }
  if (layers.empty() || layers.front().empty()) {
    throw ConfigError(where, "no layers, or no devices; give at least one of each");
  }
  PlacementFile file;
  file.placement = placement_of(layers);
  detail::check_complete(file.placement, where);
  return file;
}

std::string write_vllm_ascend(const ExpertPlacement& placement, const FormatOptions& /*options*/) {
  detail::no_empty_slots(placement, k_name);
  check_no_twins(placement);
  const std::size_t layers = placement.slot_expert.size();
  std::string text =
      "{\n  \"moe_layer_count\": " + std::to_string(layers) + ",\n  \"layer_list\": [\n";
  for (std::size_t l = 0; l < layers; ++l) {
    text += "    {\"layer_id\": " + std::to_string(l) +
            ", \"device_count\": " + std::to_string(placement.devices) + ", \"device_list\": [\n";
    for (std::size_t g = 0; g + 1 < placement.first_slot.size(); ++g) {
      const std::vector<std::int32_t> experts(
          placement.slot_expert[l].begin() + placement.first_slot[g],
          placement.slot_expert[l].begin() + placement.first_slot[g + 1]);
      text += "      {\"device_id\": " + std::to_string(g) +
              ", \"device_expert\": " + detail::row_text(experts) + "}" +
              (g + 2 < placement.first_slot.size() ? ",\n" : "\n");
    }
    text += l + 1 < layers ? "    ]},\n" : "    ]}\n";
  }
  return text + "  ]\n}\n";
}

}  // namespace moesim::formats
