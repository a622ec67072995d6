// Placement: seconds, objective, bound and gap of solvers on synthetic problems of the sizes that
// people serve. Tokens draw a topic (Zipf over 32), experts have a direction and a log-normal bias
// in every layer, and a token takes the top k of its scores: hot experts, and paths that topics
// share. Costs in units: 1 per (token, expert) pair, 0.1 / 0.8 per copy within / between nodes.
//
//   moesim_bench_placement                  the default method
//   moesim_bench_placement --every-solver   every solver that can (minutes)
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <string>

#include "placement/optimise.h"
#include "sim/core/rng.h"
#include "sim/core/thread_pool.h"

namespace moesim {
namespace {

struct Shape {
  const char* name;
  int layers;
  int experts;
  int top_k;
  int devices;
  int devices_per_node;
  bool traffic;
  int redundant;
};

constexpr Shape k_shapes[] = {
    {"mixtral_8x7b_g4", 32, 8, 2, 4, 4, true, 0},
    {"mixtral_8x7b_g8", 32, 8, 2, 8, 4, true, 0},
    {"olmoe_g8", 16, 64, 8, 8, 8, true, 0},
    {"qwen15_moe_g8", 24, 60, 4, 8, 8, true, 0},
    {"qwen3_235b_g16", 94, 128, 8, 16, 8, true, 0},
    {"qwen3_235b_g64", 94, 128, 8, 64, 8, true, 0},
    {"deepseek_v3_g32", 58, 256, 8, 32, 8, true, 0},
    {"deepseek_v3_g64", 58, 256, 8, 64, 8, true, 0},
    {"deepseek_v3_g256", 58, 256, 8, 256, 8, true, 0},
    {"deepseek_v3_g32_load", 58, 256, 8, 32, 8, false, 0},
    {"deepseek_v3_g32_r32_load", 58, 256, 8, 32, 8, false, 32},
    {"deepseek_v3_g32_r64_load", 58, 256, 8, 32, 8, false, 64},
    {"deepseek_v3_g64_load", 58, 256, 8, 64, 8, false, 0},
    {"deepseek_v3_g64_r32_load", 58, 256, 8, 64, 8, false, 32},
    {"deepseek_v3_g64_r64_load", 58, 256, 8, 64, 8, false, 64},
    {"deepseek_v3_g256_load", 58, 256, 8, 256, 8, false, 0},
    {"deepseek_v3_g256_r32_load", 58, 256, 8, 256, 8, false, 32},
    {"deepseek_v3_g256_r64_load", 58, 256, 8, 256, 8, false, 64},
};

constexpr int k_tokens = 4000;
constexpr int k_topics = 32;
constexpr int k_dimensions = 8;

using Vector = std::array<double, k_dimensions>;

Vector random_direction(Rng& rng) {
  Vector v;
  double square = 0.0;
  for (double& x : v) {
    x = rng.normal();
    square += x * x;
  }
  for (double& x : v) {
    x /= std::sqrt(square);
  }
  return v;
}

// [token]
std::vector<Vector> random_tokens(Rng& rng) {
  std::vector<Vector> topics;
  std::vector<double> weights;
  for (int t = 0; t < k_topics; ++t) {
    topics.push_back(random_direction(rng));
    weights.push_back(1.0 / (t + 1.0));
  }
  const Categorical topic(weights);
  std::vector<Vector> tokens;
  for (int t = 0; t < k_tokens; ++t) {
    Vector v = topics[topic(rng)];
    for (double& x : v) {
      x += 0.25 * rng.normal();
    }
    tokens.push_back(v);
  }
  return tokens;
}

// The experts of every token in one layer, [token * k].
std::vector<int> route(const Shape& shape, const std::vector<Vector>& tokens, Rng rng) {
  std::vector<Vector> directions;
  std::vector<double> bias;
  for (int e = 0; e < shape.experts; ++e) {
    directions.push_back(random_direction(rng));
    bias.push_back(0.5 * rng.normal());
  }
  std::vector<int> ids;
  std::vector<std::pair<double, int>> scores(static_cast<std::size_t>(shape.experts));
  for (const Vector& token : tokens) {
    for (int e = 0; e < shape.experts; ++e) {
      double score = bias[static_cast<std::size_t>(e)] + 0.35 * rng.normal();
      for (std::size_t d = 0; d < token.size(); ++d) {
        score += 3.0 * token[d] * directions[static_cast<std::size_t>(e)][d];
      }
      scores[static_cast<std::size_t>(e)] = {-score, e};
    }
    std::partial_sort(scores.begin(), scores.begin() + shape.top_k, scores.end());
    for (int k = 0; k < shape.top_k; ++k) {
      ids.push_back(scores[static_cast<std::size_t>(k)].second);
    }
  }
  return ids;
}

// [layer][token * k]; one model's tokens serve all its shapes.
const std::vector<std::vector<int>>& routed(const Shape& shape) {
  static std::map<std::array<int, 3>, std::vector<std::vector<int>>> made;
  std::vector<std::vector<int>>& ids = made[{shape.layers, shape.experts, shape.top_k}];
  if (ids.empty()) {
    const RngStreams streams(7);
    Rng rng = streams.stream("tokens");
    const std::vector<Vector> tokens = random_tokens(rng);
    ids.resize(static_cast<std::size_t>(shape.layers));
    parallel_for(ids.size(), 2,
                 [&](std::size_t l) { ids[l] = route(shape, tokens, streams.stream("layer", l)); });
  }
  return ids;
}

PlacementProblem make_problem(const Shape& shape) {
  const std::vector<std::vector<int>>& ids = routed(shape);
  PlacementProblem p;
  p.name = shape.name;
  p.layers = shape.layers;
  p.experts = shape.experts;
  p.devices = shape.devices;
  p.devices_per_node = shape.devices_per_node;
  p.redundant = shape.redundant;
  p.top_k = shape.top_k;
  const int slots = shape.experts + shape.redundant;
  for (int g = 0; g < shape.devices; ++g) {  // the first ones hold one more where it is uneven
    p.capacity.push_back(slots / shape.devices + (g < slots % shape.devices ? 1 : 0));
  }
  p.beta = 1.0 / (shape.devices * shape.top_k);
  p.c_intra = 0.1;
  p.c_inter = 0.8;
  const auto experts = static_cast<std::size_t>(shape.experts);
  const auto k = static_cast<std::size_t>(shape.top_k);
  for (std::size_t l = 0; l < ids.size(); ++l) {
    p.loads.emplace_back(experts, 0.0);
    for (const int e : ids[l]) {
      p.loads.back()[static_cast<std::size_t>(e)] += 1.0;
    }
    if (!shape.traffic || l == 0) {
      continue;
    }
    p.transitions.emplace_back(experts * experts, 0.0);
    for (std::size_t i = 0; i < ids[l].size(); ++i) {
      for (std::size_t j = 0; j < k; ++j) {
        p.transitions.back()[static_cast<std::size_t>(ids[l - 1][i / k * k + j]) * experts +
                             static_cast<std::size_t>(ids[l][i])] += 1.0;
      }
    }
  }
  p.comm = shape.traffic ? CommModel::interlayer : CommModel::none;
  return p;
}

const PlacementProblem& problem_of(const Shape& shape) {
  static std::map<std::string, PlacementProblem> made;
  const auto found = made.find(shape.name);
  return found != made.end() ? found->second
                             : made.emplace(shape.name, make_problem(shape)).first->second;
}

void place(benchmark::State& state, const Shape& shape, const char* solver) {
  const PlacementProblem& problem = problem_of(shape);
  PlacementResult result;
  for (auto _ : state) {
    // Solvers without a budget of their own get the time that a user would give them.
    result = optimise_placement(
        problem, solver,
        {.threads = 2,
         .time_limit_s =
             std::strcmp(solver, "auto") == 0 ? std::numeric_limits<double>::infinity() : 20.0});
  }
  state.counters["objective"] = result.score.objective;
  state.counters["bound"] = result.lower_bound;
  state.counters["sum_bound"] = result.bound.load + result.bound.traffic;
  state.counters["gap_percent"] = 100.0 * result.gap;
  state.counters["proven"] = result.proven_optimal ? 1.0 : 0.0;
}

void register_all(bool every_solver) {
  for (const Shape& shape : k_shapes) {
    for (const PlacementSolverEntry& solver : placement_solvers()) {
      const std::string name = std::string("place/") + shape.name + "/" + std::string(solver.name);
      if (every_solver ? !solver.unfit(problem_of(shape)).empty() : solver.name != "auto") {
        continue;
      }
      benchmark::RegisterBenchmark(
          name.c_str(),
          [&shape, solver](benchmark::State& state) { place(state, shape, solver.name.data()); })
          ->Unit(benchmark::kMillisecond)
          ->Iterations(1)
          ->UseRealTime();
    }
  }
}

}  // namespace
}  // namespace moesim

int main(int argc, char** argv) {
  bool every_solver = false;
  int kept = 0;
  for (int i = 0; i < argc; ++i) {
    if (std::strcmp(argv[i], "--every-solver") == 0) {
      every_solver = true;
    } else {
      argv[kept++] = argv[i];
    }
  }
  benchmark::Initialize(&kept, argv);
  if (benchmark::ReportUnrecognizedArguments(kept, argv)) {
    return 1;
  }
  moesim::register_all(every_solver);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
