#include "sim/cli/place_scenario.h"

#include <nlohmann/json.hpp>

#include "placement/heuristics/homes.h"
#include "placement/published/eplb.h"
#include "placement/replication/replicas.h"
#include "sim/cli/command_line.h"
#include "sim/core/config.h"
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
  document["placement"]["policy"] = "contiguous";  // the search is ours
  document["placement"]["statistics_tokens"] = options.tokens;
  if (options.redundant) {
    document["placement"]["redundant_experts"] = *options.redundant;
  }
  return parse_scenario(document, options.input);
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

double surviving(const Json& rows, const char* name, const char* part) {
  const double contiguous = rows.at("contiguous").at(part).get<double>();
  return contiguous > 0.0 ? 1.0 - rows.at(name).at(part).get<double>() / contiguous : 0.0;
}

}  // namespace

PlaceScenario::PlaceScenario(const Json& document, const PlaceScenarioOptions& options) {
  const Scenario whole = parse_scenario(document, options.input);
  const std::string& routing = whole.workload.routing;
  const bool split = is_whole_trace(routing) && options.fit_share < 1.0;
  const std::string share = format_number(options.fit_share);
  const Library library(options.folders);
  fitted_ = std::make_unique<Simulation>(
      with_routing(document, options, split ? routing + "[0:" + share + "]" : routing), library,
      options.threads);
  if (fitted_->routing() == nullptr) {
    throw ConfigError(options.input + "#/model", "has no routed experts to place");
  }
  comm_ = options.comm_model.empty() ? usual_comm_model(fitted_->scenario())
                                     : parse_comm_model(options.comm_model);
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

nlohmann::json PlaceScenario::generalisation(const ExpertPlacement& found) const {
  Json rows;
  const PlacementProblem unseen = unseen_problem();
  for (const NamedPlacement& named : candidates(found)) {
    rows[named.name] = {{"fitted", evaluate(problem_, named.placement).objective},
                        {"unseen", evaluate(unseen, named.placement).objective}};
  }
  for (const char* name : {"eplb", "found"}) {
    if (rows.contains(name)) {
      rows[name]["gain_fitted"] = surviving(rows, name, "fitted");
      rows[name]["gain_unseen"] = surviving(rows, name, "unseen");
    }
  }
  return rows;
}

nlohmann::json PlaceScenario::verdict(const ExpertPlacement& found, int batches) {
  std::vector<NamedPlacement> all = candidates(found);
  for (NamedPlacement& named : all) {
    named.placement = trimmed(without_twins(named.placement));
  }
  ProgressBar progress("simulating");
  const bool decode = fitted_->scenario().workload.kind == StepKind::decode;
  Json rows = Json::array();
  for (const VerdictRow& row :
       placement_verdict(*fitted_, unseen_ ? *unseen_ : *fitted_, all, batches,
                         *make_fast_backend(), [&](double share) { progress.show(share); })) {
    rows.push_back({{"placement", row.placement},
                    {"part", row.unseen ? "unseen" : "fitted"},
                    {"step_s", row.step_s},
                    {"tpot_s", decode ? Json(row.step_s) : Json()},
                    {"balancedness", row.balancedness},
                    {"cross_node_ratio", row.cross_node_ratio},
                    {"exposed_communication_s", row.exposed_communication_s}});
  }
  return rows;
}

nlohmann::json PlaceScenario::provenance() const {
  const PlacementCosts costs = fitted_->system().placement_costs();
  return {{"statistics", fitted_->routing()->describe()},
          {"statistics_tokens", fitted_->scenario().placement.statistics_tokens},
          {"unseen", unseen_ ? unseen_->routing()->describe() : "the same source, another seed"},
          {"seconds_per_pair", costs.seconds_per_pair},
          {"seconds_per_copy_in_node", costs.intra_s},
          {"seconds_per_copy_between_nodes", costs.inter_s},
          {"basis", costs.basis}};
}

std::string generalisation_table(const nlohmann::json& generalisation) {
  Table table({"objective of", "fitted part", "unseen part", "gain fitted", "gain unseen"});
  for (const char* name : {"contiguous", "eplb", "found"}) {
    if (!generalisation.contains(name)) {
      continue;
    }
    const Json& row = generalisation.at(name);
    const auto gain = [&](const char* key) {
      return row.contains(key) ? percent(row.at(key).get<double>()) : std::string("-");
    };
    table.row({name, human_seconds(row.at("fitted").get<double>()),
               human_seconds(row.at("unseen").get<double>()), gain("gain_fitted"),
               gain("gain_unseen")});
  }
  return table.text();
}

std::string verdict_table(const nlohmann::json& verdict) {
  Table table({"simulated step", "part", "step", "TPOT", "balancedness", "cross-node",
               "exposed communication"});
  for (const Json& row : verdict) {
    table.row({row.at("placement").get<std::string>(), row.at("part").get<std::string>(),
               human_seconds(row.at("step_s").get<double>()),
               row.at("tpot_s").is_null() ? "-" : human_seconds(row.at("tpot_s").get<double>()),
               percent(row.at("balancedness").get<double>()),
               percent(row.at("cross_node_ratio").get<double>()),
               human_seconds(row.at("exposed_communication_s").get<double>())});
  }
  return table.text();
}

}  // namespace moesim
