// What `moesim catalog show` says of a model: architecture, counts, bytes, and where it fits.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "sim/engine/catalog_folders.h"

namespace moesim {

// Like attentions and FFNs of a model, counted over its layers.
struct LayerKind {
  std::int64_t count = 0;
  std::string attention;
  std::string ffn;
};

struct WeightSize {
  std::string precision;  // a preset, or "checkpoint" where the document gives bits
  double bytes = 0;
};

// The fewest devices, a power of two up to 1024, whose usable memory holds the weights and one
// sequence of `context` tokens beside a tenth for what a step needs.
struct Fit {
  std::string device;
  std::string precision;
  std::int64_t context = 0;
  std::int64_t devices = 0;  // 0: none
  std::string parallelism;
};

struct ModelSheet {
  std::string name;
  std::string checkpoint;
  std::vector<std::string> notes, sources;
  double total_parameters = 0;
  double active_parameters = 0;                    // everything a token touches, the table in full
  double active_parameters_without_embedding = 0;  // input table apart
  std::vector<std::pair<std::string, double>> parameters;  // by component
  std::int64_t layers = 0, hidden = 0, vocabulary = 0;
  std::vector<LayerKind> kinds;
  double kv_bytes_per_token = 0;      // bf16; while the token is within every window
  double kv_bytes_per_far_token = 0;  // bf16; beyond every window
  double state_bytes_per_sequence = 0;
  std::vector<std::pair<std::int64_t, double>> kv_bytes_per_sequence;  // bf16, by context
  std::vector<WeightSize> weights;
  std::vector<Fit> fits;
  std::shared_ptr<const nlohmann::json> document;  // with every default: a scenario may hold it
};

// `value`: a name or the path of a model. Throws ConfigError.
ModelSheet model_sheet(const std::string& name, const CatalogFolders& folders);
nlohmann::json to_json(const ModelSheet& sheet);

// The table of README files: a row per catalogued model, in Markdown.
std::string models_table(const CatalogFolders& folders);

}  // namespace moesim
