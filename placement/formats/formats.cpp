// Every format of placements, and which one a file has.
#include "placement/formats/formats.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <numeric>

#include "placement/formats/format_parts.h"
#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/core/output_file.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

constexpr std::array table{
    PlacementFormatEntry{"moesim", "moesim's own: slots of every device, empty ones too", ".json",
                         formats::is_moesim, formats::read_moesim, formats::write_moesim},
    PlacementFormatEntry{"sglang", "SGLang's --init-expert-location (physical_to_logical_map)",
                         ".json", formats::is_sglang, formats::read_sglang, formats::write_sglang},
    PlacementFormatEntry{"trtllm", "TensorRT-LLM's moe_config load_balancer file", ".yaml",
                         formats::is_trtllm, formats::read_trtllm, formats::write_trtllm},
    PlacementFormatEntry{"vllm-ascend", "vLLM-Ascend's expert map", ".json",
                         formats::is_vllm_ascend, formats::read_vllm_ascend,
                         formats::write_vllm_ascend},
    PlacementFormatEntry{"eplb", "the arrays of EPLB: phy2log, log2phy, logcnt", ".json",
                         formats::is_eplb, formats::read_eplb, formats::write_eplb},
    PlacementFormatEntry{"place-result", "what moesim place --json prints", ".json",
                         formats::is_place_result, formats::read_place_result, nullptr},
};

std::vector<std::string_view> writable_names() {
  std::vector<std::string_view> names;
  for (const PlacementFormatEntry& format : table) {
    if (format.write != nullptr) {
      names.push_back(format.name);
    }
  }
  return names;
}

// JSON is also YAML: only a document that begins like JSON is taken for JSON.
bool begins_like_json(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && (text[first] == '{' || text[first] == '[');
}

}  // namespace

std::vector<int> consecutive_layers(int first, int count) {
  std::vector<int> layers(static_cast<std::size_t>(count));
  std::iota(layers.begin(), layers.end(), first);
  return layers;
}

std::span<const PlacementFormatEntry> placement_formats() { return table; }

const PlacementFormatEntry& find_placement_format(std::string_view name, const std::string& where) {
  const auto found = std::ranges::find_if(table, [&](const PlacementFormatEntry& format) {
    return format.name == name && format.write != nullptr;
  });
  if (found == table.end()) {
    throw ConfigError(where, "\"" + std::string(name) + "\" is no format to write; choose one of " +
                                 joined(writable_names()));
  }
  return *found;
}

PlacementFile read_placement_text(std::string_view text, const std::string& name,
                                  const FormatOptions& options) {
  PlacementDocument document{name, text, nullptr};
  Json json;
  const bool yaml = name.ends_with(".yaml") || name.ends_with(".yml");
  if (!yaml && begins_like_json(text)) {
    json = parse_json(text, name);
    document.json = &json;
  }
  for (const PlacementFormatEntry& format : table) {
    if (format.recognises(document)) {
      PlacementFile file = format.read(document, options);
      file.format = format.name;
      return file;
    }
  }
  throw ConfigError(name,
                    "is no placement: expected \"slot_expert\" (moesim), "
                    "\"physical_to_logical_map\" (sglang), \"initial_global_assignments\" "
                    "(trtllm), \"layer_list\" (vllm-ascend), \"phy2log\" (eplb), or \"placement\" "
                    "(moesim place --json)");
}

PlacementFile read_placement_file(const std::string& path, const FormatOptions& options) {
  return read_placement_text(read_text_file(path), path, options);
}

void write_placement_file(const std::string& path, const PlacementFormatEntry& format,
                          const ExpertPlacement& placement, const FormatOptions& options) {
  ensure(format.write != nullptr, "a format that is written can be written");
  write_text_file(path, format.write(placement, options));
}

}  // namespace moesim
