#include "placement/problem.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "sim/core/error.h"
#include "sim/core/index.h"
#include "sim/core/quantity_text.h"

namespace moesim {
namespace {

std::string element(const std::string& where, std::string_view key, std::size_t i) {
  return where + "/" + std::string(key) + "/" + std::to_string(i);
}

void check_sizes(const PlacementProblem& p, const std::string& where) {
  if (p.layers < 1 || p.experts < 1 || p.devices < 1) {
    throw ConfigError(where, "a placement problem has at least one layer, expert and GPU");
  }
  constexpr std::int64_t most_experts = 65'535;  // replicas included
  constexpr double most_places = 4e8;            // layers * experts * GPUs: some gigabytes
  if (std::int64_t{p.experts} + p.redundant > most_experts ||
      static_cast<double>(p.layers) * (p.experts + p.redundant) * p.devices > most_places) {
    throw ConfigError(where, std::to_string(p.layers) + " layers x " +
                                 std::to_string(p.experts + p.redundant) +
                                 " experts and replicas x " + std::to_string(p.devices) +
                                 " GPUs are more than can be searched; at most 65535 experts and "
                                 "4e8 combinations");
  }
  if (p.devices_per_node < 1 || p.devices % p.devices_per_node != 0) {
    throw ConfigError(where + "/gpus_per_node",
                      std::to_string(p.devices_per_node) + " GPUs per node do not divide the " +
                          std::to_string(p.devices) + " GPUs; use a divisor");
  }
  if (p.capacity.size() != at(p.devices)) {
    throw ConfigError(where + "/capacity", std::to_string(p.capacity.size()) + " entries for " +
                                               std::to_string(p.devices) +
                                               " GPUs; give one per GPU");
  }
  if (!p.slowness.empty() && p.slowness.size() != at(p.devices)) {
    throw ConfigError(where + "/slowness", std::to_string(p.slowness.size()) + " entries for " +
                                               std::to_string(p.devices) +
                                               " GPUs; give one per GPU");
  }
}

void check_slots(const PlacementProblem& p, const std::string& where) {
  for (std::size_t g = 0; g < p.capacity.size(); ++g) {
    if (p.capacity[g] < 0) {
      throw ConfigError(element(where, "capacity", g), "negative; slots are counted from 0");
    }
    if (!p.slowness.empty() && !(p.slowness[g] > 0.0 && std::isfinite(p.slowness[g]))) {
      throw ConfigError(element(where, "slowness", g),
                        "not positive; 1 is a GPU to which alpha applies as it is");
    }
  }
  const int wanted = p.experts + p.redundant;
  const int slots = p.slots();
  if (slots < wanted) {
    throw ConfigError(
        where + "/capacity",
        std::to_string(slots) + " slots per layer for " + std::to_string(p.experts) + " experts" +
            (p.redundant > 0 ? " and " + std::to_string(p.redundant) + " redundant replicas"
                             : std::string()) +
            "; every expert needs a slot");
  }
  const auto holders =
      static_cast<int>(std::ranges::count_if(p.capacity, [](int c) { return c > 0; }));
  if (std::int64_t{p.redundant} > std::int64_t{p.experts} * (holders - 1)) {
    throw ConfigError(where + "/redundant",
                      std::to_string(p.redundant) + " replicas beyond one per expert, but " +
                          std::to_string(holders) + " GPUs hold at most " +
                          std::to_string(std::int64_t{p.experts} * (holders - 1)) +
                          ": one of each expert per GPU");
  }
  if (p.exact_capacity && slots != wanted) {
    throw ConfigError(where + "/capacity",
                      std::to_string(slots) + " slots per layer, all to be filled, for " +
                          std::to_string(wanted) +
                          " experts and replicas; use capacity_mode \"max\", or \"redundant\"");
  }
}

void check_loads(const PlacementProblem& p, const std::string& where) {
  if (p.loads.size() != at(p.layers)) {
    throw ConfigError(
        where + "/loads",
        std::to_string(p.loads.size()) + " layers, but \"layers\" is " + std::to_string(p.layers));
  }
  for (std::size_t l = 0; l < p.loads.size(); ++l) {
    if (p.loads[l].size() != at(p.experts)) {
      throw ConfigError(element(where, "loads", l), std::to_string(p.loads[l].size()) +
                                                        " loads for " + std::to_string(p.experts) +
                                                        " experts; give one per expert");
    }
    for (std::size_t e = 0; e < p.loads[l].size(); ++e) {
      const double load = p.loads[l][e];
      if (!(load >= 0.0) || !(load < 1e18)) {
        throw ConfigError(element(where, "loads", l) + "/" + std::to_string(e),
                          format_number(load) + " is no load; give a number from 0 to 1e18");
      }
    }
  }
}

// |a - b| beyond rounding of sums and of files written with six digits.
bool differs(double a, double b) { return std::abs(a - b) > 1e-6 * (1.0 + std::max(a, b)); }

void check_transitions(const PlacementProblem& p, const std::string& where) {
  if (p.transitions.size() + 1 != at(p.layers)) {
    throw ConfigError(where + "/transitions", std::to_string(p.transitions.size()) +
                                                  " matrices for " + std::to_string(p.layers) +
                                                  " layers; give one per pair of layers");
  }
  const std::size_t experts = at(p.experts);
  for (std::size_t l = 0; l < p.transitions.size(); ++l) {
    const auto& matrix = p.transitions[l];
    if (matrix.size() != experts * experts) {
      throw ConfigError(element(where, "transitions", l),
                        "not a square matrix with a row per expert");
    }
    std::vector<double> column(experts, 0.0);
    for (std::size_t a = 0; a < experts; ++a) {
      double row = 0.0;
      for (std::size_t b = 0; b < experts; ++b) {
        const double pairs = matrix[a * experts + b];
        if (!(pairs >= 0.0) || !(pairs < 1e18)) {
          throw ConfigError(
              element(where, "transitions", l) + "/" + std::to_string(a) + "/" + std::to_string(b),
              format_number(pairs) + " is no number of token pairs; give a number from 0 to 1e18");
        }
        row += pairs;
        column[b] += pairs;
      }
      if (differs(row, p.top_k * p.loads[l][a])) {
        throw ConfigError(element(where, "transitions", l) + "/" + std::to_string(a),
                          "the row sums to " + format_number(row) + ", but top_k * loads[" +
                              std::to_string(l) + "][" + std::to_string(a) + "] is " +
                              format_number(p.top_k * p.loads[l][a]));
      }
    }
    for (std::size_t b = 0; b < experts; ++b) {
      if (differs(column[b], p.top_k * p.loads[l + 1][b])) {
        throw ConfigError(element(where, "transitions", l),
                          "column " + std::to_string(b) + " sums to " + format_number(column[b]) +
                              ", but top_k * loads[" + std::to_string(l + 1) + "][" +
                              std::to_string(b) + "] is " +
                              format_number(p.top_k * p.loads[l + 1][b]));
      }
    }
  }
}

void check_token_sets(const PlacementProblem& p, const std::string& where) {
  if (p.token_sets.size() != at(p.layers)) {
    throw ConfigError(where + "/token_sets", std::to_string(p.token_sets.size()) + " layers, but " +
                                                 "\"layers\" is " + std::to_string(p.layers));
  }
  const std::size_t k = at(p.top_k);
  for (std::size_t l = 0; l < p.token_sets.size(); ++l) {
    const auto& ids = p.token_sets[l];
    if (ids.size() % k != 0) {
      throw ConfigError(element(where, "token_sets", l),
                        "not a whole number of tokens with top_k experts each");
    }
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const std::string token = element(where, "token_sets", l) + "/" + std::to_string(i / k);
      if (ids[i] >= p.experts) {
        throw ConfigError(token, "expert " + std::to_string(ids[i]) +
                                     " does not exist; there are " + std::to_string(p.experts));
      }
      const auto first = ids.begin() + static_cast<std::ptrdiff_t>(i / k * k);
      if (std::find(first, ids.begin() + static_cast<std::ptrdiff_t>(i), ids[i]) !=
          ids.begin() + static_cast<std::ptrdiff_t>(i)) {
        throw ConfigError(token, "names expert " + std::to_string(ids[i]) +
                                     " twice; a token's experts are distinct");
      }
    }
  }
}

void check_homes(const PlacementProblem& p, const std::string& where) {
  if (p.forbidden.empty()) {
    return;
  }
  ensure(p.forbidden.size() == at(p.layers) * at(p.experts) * at(p.devices),
         "forbidden has an entry per layer, expert and device");
  for (int l = 0; l < p.layers; ++l) {
    for (int e = 0; e < p.experts; ++e) {
      bool home = false;
      for (int g = 0; g < p.devices; ++g) {
        home = home || (p.allowed(l, e, g) && p.capacity[at(g)] > 0);
      }
      if (!home) {
        throw ConfigError(where + "/forbidden", "leaves expert " + std::to_string(e) +
                                                    " of layer " + std::to_string(l) +
                                                    " without a GPU; allow one");
      }
    }
  }
}

}  // namespace

std::string_view name_of(CommModel model) {
  switch (model) {
    case CommModel::none:
      return "none";
    case CommModel::interlayer:
      return "interlayer";
    case CommModel::dispatch:
      break;
  }
  return "dispatch";
}

CommModel parse_comm_model(std::string_view name) {
  for (const CommModel model : {CommModel::none, CommModel::interlayer, CommModel::dispatch}) {
    if (name == name_of(model)) {
      return model;
    }
  }
  throw InvariantError("the name of a comm model was checked when it was read");
}

std::string_view name_of(ReplicaSplit split) {
  return split == ReplicaSplit::even ? "even" : "optimal";
}

int PlacementProblem::slots() const { return std::accumulate(capacity.begin(), capacity.end(), 0); }

void PlacementProblem::set_even_capacity() {
  const int wanted = experts + redundant;
  capacity.assign(static_cast<std::size_t>(devices), (wanted + devices - 1) / devices);
  exact_capacity = wanted % devices == 0;
  if (redundant > 0 && !exact_capacity) {
    for (int g = wanted % devices; g < devices; ++g) {
      --capacity[static_cast<std::size_t>(g)];
    }
    exact_capacity = true;
  }
}

double PlacementProblem::total_load(int layer) const {
  const auto& load = loads[static_cast<std::size_t>(layer)];
  return std::accumulate(load.begin(), load.end(), 0.0);
}

void check_problem(const PlacementProblem& problem, const std::string& where) {
  check_sizes(problem, where);
  check_slots(problem, where);
  check_loads(problem, where);
  if (problem.comm == CommModel::interlayer) {
    check_transitions(problem, where);
  }
  if (problem.comm == CommModel::dispatch) {
    check_token_sets(problem, where);
  }
  check_homes(problem, where);
}

}  // namespace moesim
