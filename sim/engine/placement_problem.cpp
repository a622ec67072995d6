#include "sim/engine/placement_problem.h"

#include <algorithm>
#include <numeric>

#include "sim/core/error.h"
#include "sim/core/rng.h"

namespace moesim {
namespace {

std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

// Pairs of consecutive layers' experts: a [layer - 1][a * experts + b] matrix.
std::vector<std::vector<double>> count_transitions(std::span<const RoutedTokens> parts,
                                                   int experts) {
  std::vector<std::vector<double>> transitions;
  const std::size_t n = at(experts);
  for (const RoutedTokens& part : parts) {
    transitions.resize(at(part.layers) - 1, std::vector<double>(n * n, 0.0));
    const std::size_t k = at(part.top_k);
    for (std::size_t l = 0; l < transitions.size(); ++l) {
      const auto here = part.layer(static_cast<int>(l));
      const auto next = part.layer(static_cast<int>(l) + 1);
      for (std::size_t t = 0; t < here.size(); t += k) {
        for (std::size_t i = t; i < t + k; ++i) {
          for (std::size_t j = t; j < t + k; ++j) {
            transitions[l][here[i] * n + next[j]] += part.token_weight;
          }
        }
      }
    }
  }
  return transitions;
}

// Search walks through the tokens of an expert for every exchange: more of them cost time and
// tell co-activations apart hardly better.
constexpr std::size_t k_sampled_tokens = 4096;

// Every n-th token, so that there are at most `most`: [layer][token * top_k + k].
std::vector<std::vector<std::uint16_t>> sample_token_sets(std::span<const RoutedTokens> parts,
                                                          std::size_t most) {
  std::size_t all = 0;
  for (const RoutedTokens& part : parts) {
    all += at(part.tokens());
  }
  const std::size_t stride = std::max<std::size_t>(1, (all + most - 1) / most);
  std::vector<std::vector<std::uint16_t>> sets(at(parts.front().layers));
  for (std::size_t l = 0; l < sets.size(); ++l) {
    for (const RoutedTokens& part : parts) {
      const auto ids = part.layer(static_cast<int>(l));
      const std::size_t k = at(part.top_k);
      for (std::size_t t = 0; t < ids.size(); t += stride * k) {
        sets[l].insert(sets[l].end(), ids.begin() + static_cast<std::ptrdiff_t>(t),
                       ids.begin() + static_cast<std::ptrdiff_t>(t + k));
      }
    }
  }
  return sets;
}

void require_ffn_experts(std::span<const RoutedTokens> parts, int experts,
                         const std::string& where) {
  for (const RoutedTokens& part : parts) {
    if (part.experts > experts) {
      throw ConfigError(where,
                        "traffic of models with zero-cost experts is not modelled by placement; "
                        "use comm_model \"none\"");
    }
  }
}

// Evenly strided tokens of all sequences, about as many as wanted; of a batch that has fewer, all,
// several times over.
std::vector<TokenRun> strided_runs(const StepBatch& batch, std::int64_t tokens) {
  const std::int64_t all = batch.tokens();
  const std::int64_t repeats = std::max<std::int64_t>(1, tokens / all);
  const std::int64_t stride = std::max<std::int64_t>(1, all / tokens);
  std::vector<TokenRun> runs;
  std::uint32_t request = 0;
  std::int64_t next = 0;  // first token to be kept, from the sequence's first new one
  const auto add = [&](const SequenceClass& s) {
    TokenRun run{.request = request++,
                 .first_position = static_cast<std::uint32_t>(s.context - s.new_tokens),
                 .count = static_cast<std::uint32_t>(s.new_tokens),
                 .phase = s.phase == Phase::decode ? TokenPhase::decode : TokenPhase::prefill,
                 .kept = {}};
    for (; next < s.new_tokens; next += stride) {
      run.kept.push_back(static_cast<std::uint32_t>(next));
    }
    next -= s.new_tokens;
    if (!run.kept.empty()) {  // which would stand for all
      runs.push_back(std::move(run));
    }
  };
  for (std::int64_t repeat = 0; repeat < repeats; ++repeat) {
    for (int r = 0; r < batch.ranks(); ++r) {
      for (const SequenceClass& s : batch.rank(r).sequences) {
        for (std::int64_t i = 0; i < s.count; ++i) {
          add(s);
        }
      }
    }
  }
  return runs;
}

}  // namespace

std::uint64_t statistics_seed(std::uint64_t seed) { return mix64(seed ^ 0x5eedULL); }

std::vector<RoutedTokens> statistics_batch(const RoutingSource& source, const StepBatch& batch,
                                           std::int64_t tokens, std::uint64_t seed, int threads) {
  BatchShape shape;
  shape.seed = statistics_seed(seed);
  shape.threads = threads;
  std::vector<RoutedTokens> parts;
  if (!batch.plain()) {
    parts.push_back(source.route(strided_runs(batch, tokens), shape.seed, threads));
    return parts;
  }
  if (batch.prefill_tokens() == 0) {
    shape.tokens_per_rank = tokens;
    shape.context = batch.largest(Phase::decode).context;
    parts.push_back(source.batch(shape));
    return parts;
  }
  // Prompts of 16 ranks; of a mixed step both parts, as many tokens each as the step has.
  shape.ranks = 16;
  if (batch.decode_sequences() > 0) {
    const SequenceClass decode = batch.largest(Phase::decode);
    shape.tokens_per_rank = decode.count * decode.new_tokens;
    shape.context = decode.context;
    parts.push_back(source.batch(shape));
  }
  const SequenceClass prefill = batch.largest(Phase::prefill);
  shape.phase = TokenPhase::prefill;
  shape.context = 0;
  shape.tokens_per_rank = prefill.count * prefill.new_tokens;
  shape.tokens_per_request = prefill.new_tokens;
  shape.sample_tokens_per_rank =
      std::min(std::max<std::int64_t>(tokens / shape.ranks, 1),
               batch.routing_sample > 0 ? batch.routing_sample : shape.tokens_per_rank);
  parts.push_back(source.batch(shape));
  return parts;
}

std::vector<std::vector<double>> load_statistics(std::span<const RoutedTokens> parts, int experts) {
  std::vector<std::vector<double>> loads;
  for (const RoutedTokens& part : parts) {
    loads.resize(at(part.layers), std::vector<double>(at(experts), 0.0));
    for (std::size_t l = 0; l < loads.size(); ++l) {
      for (const std::uint16_t id : part.layer(static_cast<int>(l))) {
        if (id < experts) {
          loads[l][id] += part.token_weight;
        }
      }
    }
  }
  return loads;
}

std::vector<std::vector<double>> expected_loads(const RoutingStatistics& statistics, int experts,
                                                std::int64_t tokens) {
  const RouterSpec& router = statistics.router();
  const double picks = static_cast<double>(tokens) * router.top_k;
  std::vector<std::vector<double>> loads;
  for (int l = 0; l < router.layers; ++l) {
    const auto shares = statistics.shares(l).first(at(experts));
    auto& layer = loads.emplace_back(shares.begin(), shares.end());
    for (double& load : layer) {
      load *= picks;
    }
  }
  return loads;
}

PlacementProblem load_problem(std::vector<std::vector<double>> loads, int top_k,
                              const PlacementShape& shape, const PlacementCosts& costs,
                              double step_pairs, const std::string& where) {
  PlacementProblem problem;
  problem.name = where;
  problem.layers = static_cast<int>(loads.size());
  problem.experts = shape.experts;
  problem.devices = shape.units;
  problem.devices_per_node = shape.units_per_node;
  problem.redundant = shape.redundant;
  problem.set_even_capacity();
  problem.top_k = top_k;
  problem.loads = std::move(loads);
  problem.in_seconds = true;
  problem.expert_bytes = costs.expert_bytes;
  const double counted = problem.total_load(0);
  const double scale = counted > 0.0 ? step_pairs / counted : 1.0;
  problem.alpha = costs.seconds_per_pair * scale;
  // All devices send at once: a device's share of the copies takes the time.
  problem.beta = scale / shape.units;
  problem.c_intra = costs.intra_s;
  problem.c_inter = std::max(costs.inter_s, costs.intra_s);
  return problem;
}

PlacementProblem placement_problem(std::span<const RoutedTokens> parts, const PlacementShape& shape,
                                   CommModel comm, const PlacementCosts& costs, double step_pairs,
                                   const std::string& where) {
  ensure(!parts.empty(), "statistics have tokens");
  PlacementProblem problem = load_problem(load_statistics(parts, shape.experts),
                                          parts.front().top_k, shape, costs, step_pairs, where);
  problem.comm = comm;
  const double counted = problem.total_load(0);
  if (comm == CommModel::interlayer) {
    require_ffn_experts(parts, shape.experts, where);
    // A token has top_k * top_k pairs, of which it travels top_k.
    problem.beta /= problem.top_k;
    problem.transitions = count_transitions(parts, shape.experts);
  } else if (comm == CommModel::dispatch) {
    require_ffn_experts(parts, shape.experts, where);
    problem.token_sets = sample_token_sets(parts, k_sampled_tokens);
    // Sampled tokens count alike; weights and what the sample leaves out are in `beta`.
    const auto sampled = static_cast<double>(problem.token_sets[0].size());
    problem.beta *= sampled > 0.0 ? counted / sampled : 1.0;
  }
  return problem;
}

}  // namespace moesim
