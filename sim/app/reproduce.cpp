#include "sim/app/reproduce.h"

#include <nlohmann/json.hpp>

namespace moesim {

ReproduceResult reproduce(const nlohmann::json& claims, const ReproduceOptions& options) {
  ReproduceResult result;
  result.task = std::make_shared<const ReproduceTask>(
      ReproduceTask{.claims = parse_claims(claims, options.claims),
                    .claims_name = options.claims,
                    .scenarios = read_claim_scenarios(options.claim_folders),
                    .ids = options.ids,
                    .scenario_folders = options.scenario_folders,
                    .catalogs = options.catalogs,
                    .threads = options.threads,
                    .progress = options.progress});
  result.claims = reproduce(*result.task);
  return result;
}

nlohmann::json to_json(const ReproduceResult& result) { return results_json(result.claims); }

}  // namespace moesim
