#include "sim/app/place_scenario.h"

#include <nlohmann/json.hpp>

#include "placement/heuristics/homes.h"
#include "placement/published/eplb.h"
#include "placement/replication/replicas.h"
#include "sim/core/error.h"
#include "sim/core/quantity_text.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

bool is_whole_trace(const std::string& routing) { return routing.ends_with(".moetrace"); }

// Only algorithms that send a token once per rank or node gain from experts that meet on a device.
CommModel usual_comm_model(const Scenario& scenario) {
  if (scenario.policy.residency == TokenResidency::last_expert) {
    return CommModel::interlayer;
  }
  return find_all_to_all_algorithm(scenario.policy.all_to_all, scenario.where).needs_distinct
             ? CommModel::dispatch
             : CommModel::none;
}

Scenario with_routing(Json document, const PlaceScenarioOptions& options,
                      const std::string& routing) {
  document["workload"]["routing"] = routing;
  if (document.contains("placement")) {
    document["placement"].erase("file");
  }
  document["placement"]["policy"] = "contiguous";  // the search is ours
  document["placement"]["statistics_tokens"] = options.tokens;
  if (options.redundant) {
    document["placement"]["redundant_experts"] = *options.redundant;
  }
  return parse_scenario(document, options.name);
}

PlacementProblem problem_of(const Simulation& simulation, CommModel comm) {
  const System& system = simulation.system();
  return placement_problem(system.placement_statistics(1), system.placement_shape(), comm,
                           system.placement_costs(), system.pairs_per_step(),
                           system.scenario().where + "/placement");
}

// Another batch of the same source.
PlacementProblem other_problem_of(const Simulation& simulation, CommModel comm) {
  const System& system = simulation.system();
  const Scenario& scenario = system.scenario();
  return placement_problem(
      statistics_batch(*system.routing(), system.first_batch(),
                       scenario.placement.statistics_tokens, ~scenario.seed, 1),
      system.placement_shape(), comm, system.placement_costs(), system.pairs_per_step(),
      scenario.where + "/placement");
}

// The share of contiguous' objective that is saved.
double saved(double contiguous, double objective) {
  return contiguous > 0.0 ? 1.0 - objective / contiguous : 0.0;
}

}  // namespace

PlaceScenario::PlaceScenario(const Json& document, const PlaceScenarioOptions& options) {
  const Scenario whole = parse_scenario(document, options.name);
  const std::string& routing = whole.workload.routing;
  const bool split = is_whole_trace(routing) && options.fit_share < 1.0;
  const std::string share = format_number(options.fit_share);
  const Library library(options.folders);
  fitted_ = std::make_unique<Simulation>(
      with_routing(document, options, split ? routing + "[0:" + share + "]" : routing), library,
      options.threads);
  if (fitted_->routing() == nullptr) {
    throw ConfigError(options.name + "#/model", "has no routed experts to place");
  }
  comm_ = options.comm_model ? *options.comm_model : usual_comm_model(fitted_->scenario());
  problem_ = problem_of(*fitted_, comm_);
  problem_.split = options.split;
  if (split) {
    unseen_ = std::make_unique<Simulation>(
        with_routing(document, options, routing + "[" + share + ":1]"), library, options.threads);
  }
}

PlacementProblem PlaceScenario::unseen_problem() const {
  PlacementProblem problem =
      unseen_ ? problem_of(*unseen_, comm_) : other_problem_of(*fitted_, comm_);
  problem.split = problem_.split;
  return problem;
}

bool PlaceScenario::decode() const { return fitted_->scenario().workload.kind == StepKind::decode; }

std::vector<int> PlaceScenario::moe_layers() const {
  std::vector<int> layers;
  const MoeModel& model = fitted_->model();
  for (std::size_t layer = 0; layer < model.layers.size(); ++layer) {
    if (model.blocks[static_cast<std::size_t>(model.layers[layer])].moe() != nullptr) {
      layers.push_back(static_cast<int>(layer));
    }
  }
  return layers;
}

std::vector<NamedPlacement> PlaceScenario::candidates(const ExpertPlacement& found) const {
  std::vector<NamedPlacement> all{
      {"contiguous", place_at_homes(problem_, contiguous_homes(problem_))}};
  if (unfit_eplb(problem_).empty()) {
    SolverRun run({});
    all.push_back({"eplb", apart_where_possible(problem_, solve_eplb(problem_, run).placement)});
  }
  all.push_back({"found", found});
  return all;
}

std::vector<GeneralisationRow> PlaceScenario::generalisation(const ExpertPlacement& found) const {
  std::vector<GeneralisationRow> rows;
  const PlacementProblem unseen = unseen_problem();
  for (const NamedPlacement& named : candidates(found)) {
    rows.push_back({.placement = named.name,
                    .fitted = evaluate(problem_, named.placement).objective,
                    .unseen = evaluate(unseen, named.placement).objective});
    if (rows.size() > 1) {  // the first is contiguous
      rows.back().gain_fitted = saved(rows.front().fitted, rows.back().fitted);
      rows.back().gain_unseen = saved(rows.front().unseen, rows.back().unseen);
    }
  }
  return rows;
}

std::vector<VerdictRow> PlaceScenario::verdict(const ExpertPlacement& found, int batches,
                                               const Progress& progress) {
  std::vector<NamedPlacement> all = candidates(found);
  for (NamedPlacement& named : all) {
    named.placement = trimmed(without_twins(named.placement));
  }
  return placement_verdict(*fitted_, unseen_ ? *unseen_ : *fitted_, all, batches,
                           *make_fast_backend(), progress);
}

PlaceProvenance PlaceScenario::provenance() const {
  return {.statistics = fitted_->routing()->describe(),
          .statistics_tokens = fitted_->scenario().placement.statistics_tokens,
          .unseen = unseen_ ? unseen_->routing()->describe() : "the same source, another seed",
          .costs = fitted_->system().placement_costs(),
          .preferred_files = {}};
}

}  // namespace moesim
