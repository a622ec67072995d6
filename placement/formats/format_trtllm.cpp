// TensorRT-LLM's load balancer file, moe_config.load_balancer
// (examples/wide_ep/ep_load_balancer/README.md): YAML, no other keys allowed.
//
//   initial_global_assignments:
//     3: [expert per slot]     # the model's layer, from 0, dense ones counted
//   num_slots: 288
//   layer_updates_per_iter: 0  # > 0: TensorRT-LLM moves experts itself while it runs
//
// Every num_slots / ep_size successive slots are one rank's. Slots cannot be empty.
#include <yaml-cpp/yaml.h>

#include <map>
#include <nlohmann/json.hpp>

#include "placement/formats/format_parts.h"
#include "sim/core/error.h"

namespace moesim::formats {
namespace {

constexpr std::string_view k_name = "trtllm";
constexpr std::string_view k_assignments = "initial_global_assignments";

std::string line_of(const std::string& name, const YAML::Mark& mark) {
  return mark.is_null() ? name : name + ":" + std::to_string(mark.line + 1);
}

int integer_at(const YAML::Node& node, const std::string& name, int max, const char* what) {
  std::int64_t number = -1;
  if (!node.IsScalar() || !YAML::convert<std::int64_t>::decode(node, number) || number < 0 ||
      number > max) {
    throw ConfigError(line_of(name, node.Mark()),
                      std::string("not ") + what + " from 0 to " + std::to_string(max));
  }
  return static_cast<int>(number);
}

std::vector<std::int32_t> slots_at(const YAML::Node& node, const std::string& name) {
  if (!node.IsSequence()) {
    throw ConfigError(line_of(name, node.Mark()), "not a list; give the expert of every slot");
  }
  std::vector<std::int32_t> slots;
  for (const YAML::Node& id : node) {
    slots.push_back(integer_at(id, name, detail::k_most_ids - 1, "an expert"));
  }
  return slots;
}

struct Sections {
  YAML::Node assignments;
  YAML::Node slots;
};

Sections sections_of(const YAML::Node& root, const std::string& name) {
  Sections result;
  for (const auto& item : root) {
    const std::string key = item.first.IsScalar() ? item.first.Scalar() : "";
    if (key == k_assignments) {
      result.assignments.reset(item.second);
    } else if (key == "num_slots") {
      result.slots.reset(item.second);
    } else if (key == "layer_updates_per_iter") {
      integer_at(item.second, name, detail::k_most_ids, "a number of layers");
    } else {
      throw ConfigError(line_of(name, item.first.Mark()),
                        "\"" + key + "\" is unknown; known: " + std::string(k_assignments) +
                            ", num_slots, layer_updates_per_iter");
    }
  }
  if (!result.assignments.IsMap() || result.assignments.size() == 0) {
    throw ConfigError(name, "has no " + std::string(k_assignments) +
                                " {layer: [expert per slot]}; without it TensorRT-LLM places "
                                "experts itself, and there is nothing to read");
  }
  return result;
}

PlacementFile read_root(const YAML::Node& root, const std::string& name,
                        const FormatOptions& options) {
  const Sections sections = sections_of(root, name);
  std::map<int, std::vector<std::int32_t>> by_layer;
  for (const auto& item : sections.assignments) {
    const int layer = integer_at(item.first, name, detail::k_most_ids, "a layer");
    const std::string where = line_of(name, item.first.Mark());
    std::vector<std::int32_t> slots = slots_at(item.second, name);
    if (!by_layer.empty() && slots.size() != by_layer.begin()->second.size()) {
      throw ConfigError(where, "layer " + std::to_string(layer) + " has " +
                                   std::to_string(slots.size()) + " slots, others have " +
                                   std::to_string(by_layer.begin()->second.size()));
    }
    if (!by_layer.emplace(layer, std::move(slots)).second) {
      throw ConfigError(where, "layer " + std::to_string(layer) + " stands twice; keep one");
    }
  }
  PlacementFile file;
  detail::IdRows rows;
  for (auto& [layer, slots] : by_layer) {
    file.layers.push_back(layer);
    rows.push_back(std::move(slots));
  }
  if (sections.slots.IsDefined() && !sections.slots.IsNull()) {
    const int slots = integer_at(sections.slots, name, 1 << 30, "a number of slots");
    if (std::cmp_not_equal(slots, rows.front().size())) {
      throw ConfigError(line_of(name, sections.slots.Mark()),
                        "num_slots is " + std::to_string(slots) + ", but layers have " +
                            std::to_string(rows.front().size()) + " slots");
    }
  }
  const std::string where = name + ": " + std::string(k_assignments);
  file.placement = detail::even_placement(std::move(rows), options.devices, where);
  detail::check_complete(file.placement, where);
  return file;
}

}  // namespace

bool is_trtllm(const PlacementDocument& document) {
  return document.json == nullptr ||
         (document.json->is_object() && document.json->contains(k_assignments));
}

PlacementFile read_trtllm(const PlacementDocument& document, const FormatOptions& options) {
  try {
    const YAML::Node root = YAML::Load(std::string(document.text));
    if (!root.IsMap()) {
      throw ConfigError(document.name, "is neither JSON nor a YAML map with " +
                                           std::string(k_assignments) + " (trtllm)");
    }
    return read_root(root, document.name, options);
  } catch (const YAML::Exception& error) {
    throw ConfigError(line_of(document.name, error.mark), "not YAML: " + error.msg);
  }
}

std::string write_trtllm(const ExpertPlacement& placement, const FormatOptions& options) {
  detail::equal_full_slots(placement, k_name);
  const std::vector<int> layers = detail::layer_numbers(placement, options, k_name);
  std::string text = std::string(k_assignments) + ":\n";
  for (std::size_t l = 0; l < layers.size(); ++l) {
    text +=
        "  " + std::to_string(layers[l]) + ": " + detail::row_text(placement.slot_expert[l]) + "\n";
  }
  return text + "num_slots: " + std::to_string(placement.slots()) + "\nlayer_updates_per_iter: 0\n";
}

}  // namespace moesim::formats
