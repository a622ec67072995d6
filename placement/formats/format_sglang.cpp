// SGLang's --init-expert-location file (python/sglang/srt/eplb/expert_location.py):
//
//   {"physical_to_logical_map": [[expert per slot] per layer of the model]}
//
// SGLang hands every key of the file to a function that knows only this one, so nothing else is
// written. Its layers count the dense ones, whose rows it never uses: they get SGLang's own
// default, slot s holding expert s mod experts. The number of GPUs is SGLang's --ep-size.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "placement/formats/format_parts.h"
#include "sim/core/error.h"

namespace moesim::formats {
namespace {

using Json = nlohmann::json;
constexpr std::string_view k_name = "sglang";

detail::IdRows chosen_rows(const detail::IdRows& rows, const std::vector<int>& layers,
                           const std::string& where) {
  detail::IdRows chosen;
  for (const int layer : layers) {
    if (std::cmp_greater_equal(layer, rows.size())) {
      throw ConfigError(where, "has " + std::to_string(rows.size()) +
                                   " layers, dense ones included, so there is no layer " +
                                   std::to_string(layer));
    }
    chosen.push_back(rows[static_cast<std::size_t>(layer)]);
  }
  return chosen;
}

}  // namespace

bool is_sglang(const PlacementDocument& document) {
  return document.json != nullptr && document.json->is_object() &&
         (document.json->contains("physical_to_logical_map") ||
          document.json->contains("logical_count"));
}

PlacementFile read_sglang(const PlacementDocument& document, const FormatOptions& options) {
  const std::string root = document.name + "#";
  if (!document.json->contains("physical_to_logical_map")) {
    throw ConfigError(root + "/logical_count",
                      "says how often experts were used, not where they are; give a file with "
                      "\"physical_to_logical_map\"");
  }
  const std::string where = root + "/physical_to_logical_map";
  detail::IdRows rows = detail::id_rows((*document.json)["physical_to_logical_map"], where, 0);
  PlacementFile file;
  file.layers = options.layers;
  if (file.layers.empty() && options.first_layer > 0) {
    file.layers = consecutive_layers(
        options.first_layer, std::max(1, static_cast<int>(rows.size()) - options.first_layer));
  }
  if (!file.layers.empty()) {
    rows = chosen_rows(rows, file.layers, where);
  }
  file.placement = detail::even_placement(std::move(rows), options.devices, where);
  detail::check_complete(file.placement, where);
  return file;
}

std::string write_sglang(const ExpertPlacement& placement, const FormatOptions& options) {
  detail::equal_full_slots(placement, k_name);
  const std::vector<int> layers = detail::layer_numbers(placement, options, k_name);
  std::vector<std::int32_t> usual;
  for (int s = 0; s < placement.slots(); ++s) {
    usual.push_back(s % placement.experts);
  }
  detail::IdRows rows;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    rows.resize(static_cast<std::size_t>(layers[l]), usual);
    rows.push_back(placement.slot_expert[l]);
  }
  return "{\n  \"physical_to_logical_map\": " + detail::rows_text(rows, "  ") + "\n}\n";
}

}  // namespace moesim::formats

namespace moesim {

std::vector<std::vector<double>> read_sglang_counts(const nlohmann::json& document,
                                                    const std::string& name) {
  using Json = nlohmann::json;
  const std::string where = name + "#/logical_count";
  const Json& counts =
      detail::member(document, "logical_count", name + "#", "tokens [layer][expert]");
  std::vector<std::vector<double>> loads;
  const auto add = [&](const Json& layers, const std::string& here) {
    std::size_t l = 0;
    for (const Json& layer : detail::array_of(layers, here)) {
      const std::string row = here + "/" + std::to_string(l);
      if (loads.size() <= l) {
        loads.emplace_back(detail::array_of(layer, row).size(), 0.0);
      }
      if (detail::array_of(layer, row).size() != loads.front().size()) {
        throw ConfigError(row, std::to_string(layer.size()) + " experts, but the first layer has " +
                                   std::to_string(loads.front().size()));
      }
      for (std::size_t e = 0; e < layer.size(); ++e) {
        if (!layer[e].is_number() || !(layer[e].get<double>() >= 0.0)) {
          throw ConfigError(row + "/" + std::to_string(e), "not a number of tokens >= 0");
        }
        loads[l][e] += layer[e].get<double>();
      }
      ++l;
    }
    if (l == 0 || l != loads.size()) {
      throw ConfigError(here, std::to_string(l) + " layers; every recording has the same, above 0");
    }
  };
  if (detail::array_of(counts, where).empty() || !counts[0].is_array() || counts[0].empty() ||
      !counts[0][0].is_array()) {
    add(counts, where);
    return loads;
  }
  for (std::size_t r = 0; r < counts.size(); ++r) {
    add(counts[r], where + "/" + std::to_string(r));
  }
  return loads;
}

}  // namespace moesim
