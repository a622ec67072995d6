// From traces and options to a rebalancing task.
#include <algorithm>

#include "placement/evaluate.h"
#include "placement/formats/formats.h"
#include "sim/app/rebalance_task.h"
#include "sim/core/error.h"
#include "sim/core/index.h"
#include "workloads/trace/load_windows.h"

namespace moesim {
namespace {

// The windows of all traces, one behind the other.
LoadTrace read_loads(const std::vector<std::string>& traces, int windows) {
  LoadTrace all;
  for (const std::string& path : traces) {
    const TraceFile file(path);
    LoadTrace loads = load_windows(file.view(), windows, path);
    for (const LoadWindow& window : loads.windows) {
      if (window.tokens == 0) {
        throw ConfigError(path, "has a window without tokens; leave it out");
      }
    }
    if (all.windows.empty()) {
      all = std::move(loads);
      continue;
    }
    if (loads.shape.layers != all.shape.layers || loads.shape.experts != all.shape.experts ||
        loads.shape.top_k != all.shape.top_k) {
      throw ConfigError(path, "has other layers, experts or top-k than " + traces.front() +
                                  "; give traces of one model");
    }
    std::ranges::move(loads.windows, std::back_inserter(all.windows));
  }
  return all;
}

// Mean loads of a step. A trace is often a sample: `given` > 0 says how many steps it stands for.
// Experts without weights come last and are nobody's load.
RebalanceWindow window_of(const TraceShape& shape, const LoadWindow& counted, std::size_t experts,
                          double step_tokens, double given) {
  RebalanceWindow window;
  const double sampled_steps = static_cast<double>(counted.tokens) / step_tokens;
  window.steps = given > 0.0 ? given : sampled_steps;
  for (std::size_t l = 0; l < at(shape.layers); ++l) {
    window.loads.emplace_back();
    for (std::size_t e = 0; e < experts; ++e) {
      window.loads.back().push_back(static_cast<double>(counted.counts[l * at(shape.experts) + e]) /
                                    sampled_steps);
    }
  }
  return window;
}

PlacementProblem problem_of(const RebalanceMachine& machine, const TraceShape& shape) {
  PlacementProblem problem;
  problem.name = machine.traces.front();
  problem.layers = shape.layers;
  problem.experts = machine.experts > 0 ? machine.experts : shape.experts;
  if (problem.experts > shape.experts) {
    throw ConfigError(problem.name, "routes to " + std::to_string(shape.experts) +
                                        " experts, but the scenario's model has " +
                                        std::to_string(problem.experts));
  }
  problem.devices = machine.devices;
  problem.devices_per_node = std::min(machine.devices_per_node, machine.devices);
  const int least = (problem.experts + problem.devices - 1) / problem.devices;
  const int slots = machine.slots > 0 ? machine.slots : least;
  if (slots < least) {
    throw ConfigError("--slots " + std::to_string(slots),
                      std::to_string(problem.experts) + " experts on " +
                          std::to_string(problem.devices) + " GPUs need at least " +
                          std::to_string(least));
  }
  problem.capacity.assign(at(problem.devices), slots);
  problem.redundant = slots * problem.devices - problem.experts;
  problem.top_k = shape.top_k;
  problem.alpha = machine.seconds_per_pair;
  problem.in_seconds = true;
  return problem;
}

// Slot s holds expert s mod experts: where engines begin.
ExpertPlacement usual_placement(const PlacementProblem& problem) {
  ExpertPlacement placement;
  placement.experts = problem.experts;
  placement.devices = problem.devices;
  placement.first_slot.push_back(0);
  for (const int slots : problem.capacity) {
    placement.first_slot.push_back(placement.first_slot.back() + slots);
  }
  std::vector<std::int32_t> row;
  for (int s = 0; s < placement.slots(); ++s) {
    row.push_back(s % problem.experts);
  }
  placement.slot_expert.assign(at(problem.layers), row);
  return placement;
}

}  // namespace

RebalanceTask read_rebalance_task(const PlaceRebalanceOptions& options,
                                  const RebalanceMachine& machine) {
  const LoadTrace trace = read_loads(machine.traces, options.windows);
  RebalanceTask task;
  task.problem = problem_of(machine, trace.shape);
  for (const LoadWindow& window : trace.windows) {
    task.windows.push_back(window_of(trace.shape, window, at(task.problem.experts),
                                     machine.step_tokens, options.steps_per_window));
  }
  task.problem.loads = task.windows.front().loads;
  check_problem(task.problem, "rebalance");
  task.initial = usual_placement(task.problem);
  if (!options.initial.empty()) {
    task.initial = read_placement_file(options.initial, {.devices = task.problem.devices,
                                                         .first_layer = options.first_layer,
                                                         .layers = {}})
                       .placement;
    check_feasible(task.problem, task.initial, options.initial);
  }
  task.cost.expert_bytes = machine.expert_bytes;
  task.cost.intra_bandwidth = machine.intra_bandwidth;
  task.cost.inter_bandwidth = machine.inter_bandwidth;
  task.cost.mode = options.migration;
  task.cost.slowdown = options.slowdown;
  task.options = options.rebalance;
  const PlacementSolverEntry& solver = find_placement_solver(options.method, "--method");
  if (const std::string reason = solver.unfit(task.problem); !reason.empty()) {
    throw ConfigError("--method " + options.method, "cannot solve this problem: " + reason);
  }
  task.solve = solver.solve;
  task.solver = {.seed = options.seed, .threads = options.threads};
  if (options.time_limit_s > 0.0) {
    task.solver.time_limit_s = options.time_limit_s;
  }
  return task;
}

}  // namespace moesim
