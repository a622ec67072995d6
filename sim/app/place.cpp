#include "sim/app/place.h"

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "placement/replication/replicas.h"
#include "sim/app/catalog.h"
#include "sim/app/document_files.h"
#include "sim/app/option_check.h"
#include "sim/app/place_scenario.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

SolveOptions solve_options(const PlaceOptions& options, double already_spent_s) {
  SolveOptions solve{.seed = options.seed, .threads = options.threads};
  if (!std::isfinite(options.time_limit_s)) {
    throw ConfigError("--time-limit", "not a number of seconds");
  }
  if (options.time_limit_s > 0.0) {
    solve.time_limit_s = options.time_limit_s;
    solve.already_spent_s = already_spent_s;
  }
  solve.cancel = options.cancel;
  return solve;
}

// Before hours of work, not after.
void check_exports(const nlohmann::json& document, const PlaceOptions& options) {
  std::vector<NamedFile> files;
  for (const PlacementExport& target : options.exports) {
    (void)find_placement_format(target.format, "--export");
    files.push_back({"--export", target.path});
  }
  check_outputs(files, files_of_document(options.name, document));
}

PlaceResult place_problem(nlohmann::json document, const PlaceOptions& options,
                          Clock::time_point start) {
  if (options.comm_model) {
    document["comm_model"] = name_of(*options.comm_model);
  }
  if (options.split) {
    document["split"] = name_of(*options.split);
  }
  if (options.redundant) {
    document["redundant"] = *options.redundant;
  }
  if (options.simulate) {
    throw ConfigError("--simulate", "a problem file has no hardware to simulate; give a scenario");
  }
  PlaceResult result;
  result.problem = read_placement_problem(document, options.name);
  // What reading took is gone.
  result.found =
      optimise_placement(result.problem, options.method,
                         solve_options(options, options.already_spent_s + seconds_since(start)));
  result.seed = options.seed;
  result.layers = {.devices = result.problem.devices, .first_layer = 0, .layers = {}};
  return result;
}

PlaceResult place_scenario(const nlohmann::json& document, const PlaceOptions& options) {
  constexpr double least_share = 0.01;
  check_option("--batches", options.batches, 1, 1000);
  check_option("--statistics-tokens", static_cast<double>(options.statistics_tokens), 1, 1 << 24);
  check_option("--fit-share", options.fit_share, least_share, 1);
  PlaceScenario scenario(document, {.name = options.name,
                                    .folders = options.catalogs,
                                    .threads = options.threads,
                                    .comm_model = options.comm_model,
                                    .tokens = options.statistics_tokens,
                                    .fit_share = options.fit_share,
                                    .redundant = options.redundant,
                                    .split = options.split.value_or(ReplicaSplit::even)});
  PlaceResult result;
  result.problem = scenario.problem();
  // The limit is the search's: building the problem takes what its statistics take.
  result.found = optimise_placement(result.problem, options.method, solve_options(options, 0.0));
  // Engines keep at most one replica of an expert per device, and so does the simulation.
  replace_placement(result.problem, apart_where_possible(result.problem, result.found.placement),
                    result.found);
  result.seed = options.seed;
  PlacedScenario& placed = result.scenario.emplace();
  placed.provenance = scenario.provenance();
  placed.warnings = scenario.warnings();
  placed.provenance.preferred_files = preferred_files(options.catalogs);
  placed.generalisation = scenario.generalisation(result.found.placement);
  placed.decode = scenario.decode();
  if (options.simulate) {
    placed.verdict = scenario.verdict(result.found.placement, options.batches, options.progress);
  }
  const std::vector<int> layers = scenario.moe_layers();
  result.layers = {
      .devices = result.problem.devices, .first_layer = layers.front(), .layers = layers};
  return result;
}

}  // namespace

PlaceKind place_kind(const nlohmann::json& document) {
  return is_bit_problem(document)         ? PlaceKind::bits
         : is_placement_problem(document) ? PlaceKind::problem
                                          : PlaceKind::scenario;
}

PlaceResult place(nlohmann::json document, const PlaceOptions& options) {
  const Clock::time_point start = Clock::now();
  check_exports(document, options);
  return is_placement_problem(document) ? place_problem(std::move(document), options, start)
                                        : place_scenario(document, options);
}

void export_placement(const PlaceResult& result, const PlacementExport& target) {
  write_placement_file(target.path, find_placement_format(target.format, "--export"),
                       result.found.placement, result.layers);
}

PlaceBitsResult place_bits(const nlohmann::json& document, const PlaceOptions& options) {
  const Clock::time_point start = Clock::now();
  if (!options.exports.empty() || options.simulate || options.redundant || options.comm_model ||
      options.split) {
    throw ConfigError(options.name,
                      "allots bits, and places nothing to export, replicate, split "
                      "or simulate; leave those options out");
  }
  PlaceBitsResult result;
  result.problem = read_bit_problem(document, options.name);
  const SolverRun run(solve_options(options, options.already_spent_s + seconds_since(start)));
  result.allocation = allocate_bits(result.problem, run);
  return result;
}

nlohmann::json to_json(const PlaceBitsResult& result) {
  return bit_allocation_json(result.problem, result.allocation);
}

}  // namespace moesim
