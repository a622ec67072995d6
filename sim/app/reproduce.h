// What `moesim reproduce` does: published claims against the simulator.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "sim/reproduce/reproduce.h"

namespace moesim {

struct ReproduceOptions {
  std::string claims = {};                         // what the claims' document is called: its path
  std::vector<std::string> ids = {};               // empty: all
  std::vector<std::string> claim_folders = {};     // of claims' scenarios
  std::vector<std::string> scenario_folders = {};  // in which these look up scenarios by name
  CatalogFolders catalogs = {};
  int threads = 1;  // results do not depend on it
  Progress progress = {};
};

struct ReproduceResult {
  std::shared_ptr<const ReproduceTask> task;  // holds the scenarios that claims point to
  std::vector<ClaimResult> claims;
};

// `claims`: an array of claims. Throws ConfigError.
ReproduceResult reproduce(const nlohmann::json& claims, const ReproduceOptions& options);
nlohmann::json to_json(const ReproduceResult& result);

}  // namespace moesim
