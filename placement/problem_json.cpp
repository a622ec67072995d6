// Problem files: the format of README.md.
#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "placement/formats/formats.h"
#include "placement/problem.h"
#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/core/index.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

constexpr int k_most = 1 << 16;  // layers, experts, GPUs: beyond any model or cluster

double number_in(const Json& value, const std::string& where) {
  if (!value.is_number()) {
    throw ConfigError(where, "not a number");
  }
  return value.get<double>();
}

void require_array(const Json& value, const std::string& where) {
  if (!value.is_array()) {
    throw ConfigError(where, "not an array");
  }
}

std::string below(const std::string& where, std::size_t i) {
  return where + "/" + std::to_string(i);
}

std::vector<double> row_of(const Json& value, const std::string& where) {
  std::vector<double> row;
  require_array(value, where);
  for (const Json& number : value) {
    row.push_back(number_in(number, below(where, row.size())));
  }
  return row;
}

// [layer][expert], or [expert] when there is one layer.
std::vector<std::vector<double>> read_loads(const Json& value, const std::string& where) {
  std::vector<std::vector<double>> loads;
  require_array(value, where);
  if (value.empty()) {
    throw ConfigError(where, "no loads; give [layer][expert]");
  }
  if (!value[0].is_array()) {
    return {row_of(value, where)};
  }
  for (const Json& row : value) {
    loads.push_back(row_of(row, below(where, loads.size())));
    if (loads.back().empty()) {
      throw ConfigError(below(where, loads.size() - 1), "no loads; give one per expert");
    }
  }
  return loads;
}

std::vector<std::vector<double>> read_transitions(const Json& value, std::size_t experts,
                                                  const std::string& where) {
  std::vector<std::vector<double>> result;
  require_array(value, where);
  for (const Json& matrix : value) {
    const std::string here = below(where, result.size());
    require_array(matrix, here);
    if (matrix.size() != experts) {
      throw ConfigError(here, std::to_string(matrix.size()) + " rows for " +
                                  std::to_string(experts) + " experts; give one per expert");
    }
    std::vector<double> flat;
    for (std::size_t a = 0; a < matrix.size(); ++a) {
      const std::vector<double> row = row_of(matrix[a], below(here, a));
      if (row.size() != experts) {
        throw ConfigError(below(here, a), std::to_string(row.size()) + " entries for " +
                                              std::to_string(experts) +
                                              " experts; give one per expert");
      }
      flat.insert(flat.end(), row.begin(), row.end());
    }
    result.push_back(std::move(flat));
  }
  return result;
}

// [layer][token][k].
std::vector<std::vector<std::uint16_t>> read_token_sets(const Json& value, int top_k, int experts,
                                                        const std::string& where) {
  std::vector<std::vector<std::uint16_t>> sets;
  require_array(value, where);
  for (const Json& layer : value) {
    const std::string here = below(where, sets.size());
    require_array(layer, here);
    std::vector<std::uint16_t> ids;
    for (std::size_t t = 0; t < layer.size(); ++t) {
      const Json& token = layer[t];
      require_array(token, below(here, t));
      if (token.size() != at(top_k)) {
        throw ConfigError(below(here, t), std::to_string(token.size()) + " experts; top_k is " +
                                              std::to_string(top_k));
      }
      for (const Json& id : token) {
        if (!id.is_number_integer() || id.get<std::int64_t>() < 0 ||
            id.get<std::int64_t>() >= experts) {
          throw ConfigError(below(here, t), "not an expert; give whole numbers from 0 to " +
                                                std::to_string(experts - 1));
        }
        ids.push_back(id.get<std::uint16_t>());
      }
    }
    sets.push_back(std::move(ids));
  }
  return sets;
}

// Keys that describe a problem or give its solution away: not read.
void ignore_descriptions(ConfigObject& object) {
  for (const char* key : {"note", "provenance", "optimum", "single_objective_optima",
                          "baseline_contiguous_F", "proof", "optimum_even_split",
                          "optimum_optimal_split", "min_max_replica_load_counts", "mean"}) {
    object.raw(key);
  }
}

void read_memory(ConfigObject& object, PlacementProblem& problem, bool capacity_given) {
  const bool has_bytes = object.has("expert_bytes");
  if (has_bytes) {
    problem.expert_bytes = object.positive<Bytes>("expert_bytes").si();
  }
  if (!object.has("gpu_memory")) {
    return;
  }
  if (!has_bytes) {
    object.fail("gpu_memory", "says nothing without expert_bytes; give both");
  }
  const double memory = object.positive<Bytes>("gpu_memory").si();
  const double fit = std::floor(memory / (problem.expert_bytes * problem.layers));
  if (fit < 1.0) {
    object.fail("expert_bytes", "one expert in each of " + std::to_string(problem.layers) +
                                    " layers is larger than gpu_memory");
  }
  if (!capacity_given) {
    problem.exact_capacity = false;
    problem.capacity.assign(at(problem.devices),
                            static_cast<int>(std::min<double>(fit, problem.experts)));
    return;
  }
  for (std::size_t g = 0; g < problem.capacity.size(); ++g) {
    if (problem.capacity[g] > fit) {
      object.fail("capacity", "GPU " + std::to_string(g) + " holds " +
                                  std::to_string(problem.capacity[g]) +
                                  " experts per layer, but gpu_memory has room for " +
                                  std::to_string(static_cast<int>(fit)));
    }
  }
}

void read_capacity(ConfigObject& object, PlacementProblem& problem, bool replication) {
  if (object.has("slots_per_gpu") && object.has("capacity")) {
    object.fail("slots_per_gpu", "stands beside capacity; give one of the two");
  }
  if (object.has("slots_per_gpu")) {
    problem.capacity.assign(at(problem.devices),
                            static_cast<int>(object.integer("slots_per_gpu", 0, k_most)));
  } else if (const Json* capacity = object.raw("capacity"); capacity != nullptr) {
    if (capacity->is_number_integer()) {
      problem.capacity.assign(at(problem.devices),
                              static_cast<int>(object.integer("capacity", 0, k_most)));
    } else {
      for (const std::int64_t slots : object.integers("capacity", 0, k_most)) {
        problem.capacity.push_back(static_cast<int>(slots));
      }
    }
  }
  const bool given = !problem.capacity.empty();
  for (const char* key : {"capacity", "slots_per_gpu", "slowness", "expert_bytes", "gpu_memory"}) {
    object.raw(key);  // known, if not used here
  }
  constexpr std::array<std::string_view, 2> modes{"exact", "max"};
  const std::int64_t redundant = object.integer_or("redundant", 0, 0, k_most);
  problem.redundant = static_cast<int>(redundant);
  if (!given) {
    const int wanted = problem.experts + problem.redundant;
    problem.capacity.assign(at(problem.devices), (wanted + problem.devices - 1) / problem.devices);
  }
  problem.exact_capacity =
      object.choice_or(
          "capacity_mode",
          given || problem.slots() == problem.experts + problem.redundant ? "exact" : "max",
          modes) == "exact";
  if (replication && !object.has("redundant")) {
    problem.redundant = std::max(0, problem.slots() - problem.experts);
  }
  read_memory(object, problem, given);
}

// A rule about one expert in one layer, or (layer < 0) in all.
struct HomeRule {
  int layer;
  int expert;
  int gpu;
};

void forbid(PlacementProblem& problem, const HomeRule& rule, bool all_but) {
  const std::size_t devices = at(problem.devices);
  if (problem.forbidden.empty()) {
    problem.forbidden.assign(at(problem.layers) * at(problem.experts) * devices, 0);
  }
  const int first = rule.layer < 0 ? 0 : rule.layer;
  const int last = rule.layer < 0 ? problem.layers - 1 : rule.layer;
  for (int l = first; l <= last; ++l) {
    const std::size_t row = (at(l) * at(problem.experts) + at(rule.expert)) * devices;
    for (std::size_t g = 0; g < devices; ++g) {
      if ((g == at(rule.gpu)) != all_but) {
        problem.forbidden[row + g] = 1;
      }
    }
  }
}

// {"layer": optional, "expert": e, "gpu": g}
void read_homes(ConfigObject& object, std::string_view key, bool pin, PlacementProblem& problem) {
  for (ConfigObject& entry : object.objects(key)) {
    const HomeRule rule{
        .layer = static_cast<int>(entry.integer_or("layer", -1, 0, problem.layers - 1)),
        .expert = static_cast<int>(entry.integer("expert", 0, problem.experts - 1)),
        .gpu = static_cast<int>(entry.integer("gpu", 0, problem.devices - 1))};
    entry.reject_unknown_keys();
    forbid(problem, rule, pin);
  }
}

void read_traffic(ConfigObject& object, PlacementProblem& problem) {
  constexpr std::array<std::string_view, 3> models{"none", "interlayer", "dispatch"};
  const Json* transitions = object.raw("transitions");
  const Json* sets = object.raw("token_sets");
  const std::string_view usual = transitions != nullptr ? "interlayer"
                                 : sets != nullptr      ? "dispatch"
                                                        : "none";
  const std::string model = object.choice_or("comm_model", usual, models);
  if (model == "interlayer") {
    if (transitions == nullptr) {
      object.fail("transitions",
                  "missing; comm_model \"interlayer\" needs token pairs "
                  "[layer - 1][expert][expert of the next layer]");
    }
    problem.comm = CommModel::interlayer;
    problem.transitions =
        read_transitions(*transitions, at(problem.experts), object.where("transitions"));
  } else if (model == "dispatch") {
    if (sets == nullptr) {
      object.fail("token_sets",
                  "missing; comm_model \"dispatch\" needs the experts of some tokens "
                  "[layer][token][k]");
    }
    problem.comm = CommModel::dispatch;
    problem.token_sets =
        read_token_sets(*sets, problem.top_k, problem.experts, object.where("token_sets"));
  }
}

}  // namespace

bool is_placement_problem(const nlohmann::json& document) {
  return document.is_object() && (document.contains("loads") || document.contains("logical_count"));
}

PlacementProblem read_placement_problem(const nlohmann::json& document, const std::string& name) {
  constexpr std::array<std::string_view, 2> kinds{"placement", "replication"};
  constexpr std::array<std::string_view, 2> splits{"even", "optimal"};
  ConfigObject object(document, name + "#");
  ignore_descriptions(object);
  PlacementProblem problem;
  problem.name = object.text_or("name", name);
  const bool replication = object.choice_or("kind", "placement", kinds) == "replication";
  const Json* loads = object.raw("loads");
  const bool counts = object.has("logical_count");  // of SGLang's recorder
  if (loads != nullptr && counts) {
    object.fail("logical_count", "a second list of loads; leave out one of both");
  }
  if (loads == nullptr && !counts) {
    object.fail("loads", "missing; give tokens [layer][expert]");
  }
  if (counts) {
    static_cast<void>(object.raw("logical_count"));
  }
  problem.loads =
      counts ? read_sglang_counts(document, name) : read_loads(*loads, object.where("loads"));
  problem.layers = static_cast<int>(
      object.integer_or("layers", static_cast<std::int64_t>(problem.loads.size()), 1, k_most));
  problem.experts = static_cast<int>(object.integer_or(
      "experts", static_cast<std::int64_t>(problem.loads.front().size()), 1, k_most));
  problem.devices = static_cast<int>(object.integer("gpus", 1, k_most));
  problem.devices_per_node =
      static_cast<int>(object.integer_or("gpus_per_node", problem.devices, 1, k_most));
  problem.top_k = static_cast<int>(object.integer_or("top_k", 1, 1, problem.experts));
  problem.alpha = object.number_or("alpha", 1.0, 0.0, 1e12);
  problem.beta = object.number_or("beta", 1.0, 0.0, 1e12);
  problem.c_intra = object.number_or("c_intra", 1.0, 0.0, 1e12);
  problem.c_inter = object.number_or("c_inter", problem.c_intra, 0.0, 1e12);
  if (problem.c_inter < problem.c_intra) {
    object.fail("c_inter", "below c_intra; leaving a node costs at least as much as staying");
  }
  problem.split = object.choice_or("split", "even", splits) == "even" ? ReplicaSplit::even
                                                                      : ReplicaSplit::optimal;
  if (object.has("slowness")) {
    problem.slowness = object.numbers("slowness", 0.0, 1e12);
  }
  read_capacity(object, problem, replication);
  read_traffic(object, problem);
  // Sizes come before rules that index by them.
  PlacementProblem sizes = problem;
  sizes.comm = CommModel::none;
  check_problem(sizes, name + "#");
  read_homes(object, "forbidden", false, problem);
  read_homes(object, "pinned", true, problem);
  object.reject_unknown_keys();
  check_problem(problem, name + "#");
  return problem;
}

}  // namespace moesim
