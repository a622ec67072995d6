// Placements on disk: the engines' own files and ours, one table of formats.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "placement/placement.h"

namespace moesim {

struct FormatOptions {
  // Devices that share the slots equally, for files that do not say (sglang, trtllm, eplb); 0: not
  // given.
  int devices = 0;
  // The model's layer of the placement's first one: how many dense layers come before it. Formats
  // that number model layers (sglang, trtllm) count from here; of sglang files, earlier rows are
  // left out.
  int first_layer = 0;
  // The model's layer of every layer of the placement, ascending, where they do not simply follow
  // first_layer.
  std::vector<int> layers;
};

// first, first + 1, ...: of a model whose MoE layers follow `first` dense ones.
std::vector<int> consecutive_layers(int first, int count);

struct PlacementFile {
  ExpertPlacement placement;
  std::string_view format;
  std::vector<int> layers;  // the model's layers, where the file numbers them; else empty
};

// A file's text; `json` is null where it is YAML.
struct PlacementDocument {
  std::string name;
  std::string_view text;
  const nlohmann::json* json = nullptr;
};

struct PlacementFormatEntry {
  std::string_view name;
  std::string_view summary;
  std::string_view extension;
  bool (*recognises)(const PlacementDocument&);
  // Throws ConfigError(file + JSON pointer or line, ...).
  PlacementFile (*read)(const PlacementDocument&, const FormatOptions&);
  // Null: moesim only reads this format. Throws ConfigError where the format cannot say what the
  // placement is (unequal or empty slots): nothing is changed silently.
  std::string (*write)(const ExpertPlacement&, const FormatOptions&);
};

// Every format, in the order in which they are documented.
std::span<const PlacementFormatEntry> placement_formats();

// A format that can be written. Throws ConfigError(where, ...) that lists the names.
const PlacementFormatEntry& find_placement_format(std::string_view name, const std::string& where);

// Recognises the format by its content. Every expert has a slot in every layer afterwards; a device
// may hold an expert twice (EPLB does that). Throws ConfigError.
PlacementFile read_placement_file(const std::string& path, const FormatOptions& options);
PlacementFile read_placement_text(std::string_view text, const std::string& name,
                                  const FormatOptions& options);

// Atomic. Throws ConfigError as `write` does, std::system_error when the disk fails.
void write_placement_file(const std::string& path, const PlacementFormatEntry& format,
                          const ExpertPlacement& placement, const FormatOptions& options);

// Loads [layer][expert] of a SGLang `logical_count` file ([layer][expert] or
// [recording][layer][expert], which are added up). Throws ConfigError.
std::vector<std::vector<double>> read_sglang_counts(const nlohmann::json& document,
                                                    const std::string& name);

}  // namespace moesim
