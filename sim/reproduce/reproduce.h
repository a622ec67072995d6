// Published claims against the simulator: runs what the claims' scenarios name, fits what they fit,
// and judges every claim.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "sim/core/progress.h"
#include "sim/engine/catalog_folders.h"
#include "sim/reproduce/claim_scenario.h"
#include "sim/reproduce/claims.h"
#include "sim/reproduce/fit.h"

namespace moesim {

struct ClaimResult {
  Claim claim;
  Verdict verdict = Verdict::not_attempted;
  // All below only if attempted.
  const ClaimScenario* scenario = nullptr;
  std::string asked{};              // the expressions
  std::vector<double> published{};  // as compared: restated where the scenario says so
  bool restated = false;
  std::vector<double> simulated{};
  std::vector<double> ratio{};
  Tolerance tolerance{};
  std::string why{};                    // restated
  std::optional<ParameterFit> fit{};    // of the scenario
  std::vector<std::string> warnings{};  // of how its runs' files were read
};

struct ReproduceTask {
  std::vector<Claim> claims;             // of one file
  std::string claims_name;               // for messages
  std::vector<ClaimScenario> scenarios;  // must outlive the results
  std::vector<std::string> ids;          // empty: all
  std::vector<std::string> scenario_folders;
  CatalogFolders catalogs;
  int threads = 1;
  Progress progress;  // from any thread, one at a time
};

// One result for each wanted claim, in the order of the claims. The same for any number of threads.
// Throws ConfigError for unknown ids, for what is wrong in a scenario, and for a fit to a claim
// that is to be predicted by the same scenario.
std::vector<ClaimResult> reproduce(const ReproduceTask& task);

// {"claims": [{id, kind, published, simulated, ratio, tolerance, verdict, scenario, ...}]}
nlohmann::json results_json(const std::vector<ClaimResult>& results);

// The values that a name's path selects in a report: "metrics.step_s", "layers.experts_s" (of every
// layer that has it), "layers.3.experts_s". Throws ConfigError(where, ...).
std::vector<double> report_values(const nlohmann::json& report, const std::string& path,
                                  const std::string& where);

}  // namespace moesim
