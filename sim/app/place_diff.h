// What `moesim place diff` does: what moves between two placements, how long that takes, and what
// each of them costs.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "placement/diff.h"
#include "placement/evaluate.h"
#include "placement/formats/formats.h"
#include "sim/core/units.h"
#include "sim/engine/catalog_folders.h"

namespace moesim {

struct PlaceDiffOptions {
  std::string before = {};  // placement files of any format
  std::string after = {};
  std::string problem = {};      // what the problem's document is called in messages: its path
  CatalogFolders catalogs = {};  // where that is a scenario
  int devices = 0;               // for files that do not say; 0: the problem's
  int devices_per_node = 0;      // 0: the problem's, or all in one node
  int first_layer = 0;           // dense layers before the first MoE layer; 0: the scenario's
  // Default: the problem's and the scenario's, or unknown.
  std::optional<Bytes> expert_bytes = {};         // of one expert in one layer
  std::optional<Bandwidth> intra_bandwidth = {};  // per device and direction, inside a node
  std::optional<Bandwidth> inter_bandwidth = {};  // and between nodes
};

struct PlaceDiffSide {
  std::string path;
  PlacementFile file;
  std::optional<PlacementScore> score = {};  // where there is a problem
};

struct PlaceDiffResult {
  PlaceDiffSide before;
  PlaceDiffSide after;
  PlacementDiff diff;
  MoveCost cost;
  bool scores_in_seconds = false;
  std::vector<std::string> warnings;  // of how the files that a scenario names were read

  // Whether bandwidths for all that moves are known.
  [[nodiscard]] bool has_time() const;
};

// `problem`: a placement problem or a scenario; null: none. Throws ConfigError.
PlaceDiffResult place_diff(const PlaceDiffOptions& options,
                           const nlohmann::json* problem = nullptr);

nlohmann::json to_json(const PlaceDiffResult& result);

}  // namespace moesim
