#include "calibrate/load_generator.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "sim/core/error.h"

namespace moesim {
namespace {

// Adds `step` (+1 or -1) `amount` times, one rank after the other, to the rank's least (most)
// loaded expert that stays within [0, limit].
void hand_out(std::vector<std::int64_t>& counts, std::int64_t ranks, std::int64_t amount,
              std::int64_t step, std::int64_t limit) {
  const auto local = static_cast<std::int64_t>(counts.size()) / ranks;
  while (amount > 0) {
    bool progressed = false;
    for (std::int64_t rank = 0; rank < ranks && amount > 0; ++rank) {
      const auto experts = std::span(counts).subspan(static_cast<std::size_t>(rank * local),
                                                     static_cast<std::size_t>(local));
      const auto chosen =
          step > 0 ? std::ranges::min_element(experts) : std::ranges::max_element(experts);
      if (step > 0 ? *chosen >= limit : *chosen <= 0) {
        continue;
      }
      *chosen += step;
      --amount;
      progressed = true;
    }
    ensure(progressed, "pairs fit into experts x tokens");
  }
}

void add_rank(const std::vector<std::int64_t>& counts, std::int64_t ranks, std::size_t rank,
              MeanLoad& sum) {
  const std::size_t local = counts.size() / static_cast<std::size_t>(ranks);
  std::int64_t busiest = 0;
  for (std::size_t e = rank * local; e < (rank + 1) * local; ++e) {
    const std::int64_t n = counts[e];
    sum.pairs += static_cast<double>(n);
    sum.touched += n > 0 ? 1 : 0;
    const std::int64_t tiles_64 = (n + 63) / 64;
    const std::int64_t tiles_128 = (n + 127) / 128;
    sum.tiles_64 += static_cast<double>(tiles_64);
    sum.tiles_128 += static_cast<double>(tiles_128);
    busiest = std::max(busiest, n);
  }
  sum.busiest += static_cast<double>(busiest);
}

std::uint64_t stream_index(const LoadCase& load) {
  std::uint64_t index = mix64(static_cast<std::uint64_t>(load.tokens));
  index = mix64(index ^ static_cast<std::uint64_t>(load.top_k));
  index = mix64(index ^ static_cast<std::uint64_t>(load.experts));
  index = mix64(index ^ static_cast<std::uint64_t>(load.ranks));
  return mix64(index ^ static_cast<std::uint64_t>(std::llround(load.exponent * 1e6)));
}

}  // namespace

std::vector<std::int64_t> power_law_counts(const LoadCase& load, Rng& rng) {
  const bool crowded = load.tokens * load.top_k > load.experts;
  const double low = crowded ? 1.0 : 0.01;
  const double high = crowded ? 0.8 * static_cast<double>(load.tokens) : 2.0;
  const double power = 1 - load.exponent;
  const double from = std::pow(low, power);
  const double to = std::pow(high, power);
  std::vector<double> popularity(static_cast<std::size_t>(load.experts));
  for (double& p : popularity) {
    p = std::pow(from + (to - from) * rng.uniform(), 1 / power);
  }
  const double total = std::accumulate(popularity.begin(), popularity.end(), 0.0);
  const std::int64_t pairs = load.tokens * load.top_k;
  std::vector<std::int64_t> counts(popularity.size());
  std::int64_t sum = 0;
  for (std::size_t e = 0; e < counts.size(); ++e) {
    // Half to even, as the benchmarks' library rounds.
    const double share = popularity[e] / total * static_cast<double>(pairs);
    counts[e] = std::min(load.tokens, static_cast<std::int64_t>(std::nearbyint(share)));
    sum += counts[e];
  }
  hand_out(counts, load.ranks, std::abs(pairs - sum), pairs > sum ? 1 : -1, load.tokens);
  return counts;
}

std::size_t busiest_rank(const std::vector<std::int64_t>& counts, std::int64_t ranks) {
  const auto local = static_cast<std::ptrdiff_t>(counts.size()) / ranks;
  std::size_t best = 0;
  std::int64_t most = -1;
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    const auto begin = counts.begin() + rank * local;
    const std::int64_t sum = std::accumulate(begin, begin + local, std::int64_t{0});
    if (sum > most) {
      most = sum;
      best = static_cast<std::size_t>(rank);
    }
  }
  return best;
}

std::vector<std::int64_t> balanced_counts(const LoadCase& load) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(load.experts), 0);
  const std::int64_t stride = (load.experts + load.top_k - 1) / load.top_k;
  for (std::int64_t t = 0; t < load.tokens; ++t) {
    const std::int64_t first = load.tokens >= stride ? t : t * stride / load.tokens;
    for (std::int64_t i = 0; i < load.top_k; ++i) {
      ++counts[static_cast<std::size_t>((first + i * stride) % load.experts)];
    }
  }
  return counts;
}

const MeanLoad& LoadGenerator::load(const LoadCase& load) {
  const auto [entry, is_new] = known_.try_emplace(load);
  if (!is_new) {
    return entry->second;
  }
  ensure(load.ranks > 0 && load.experts % load.ranks == 0, "ranks hold equally many experts");
  ensure(load.top_k <= load.experts, "a token chooses among the experts");
  MeanLoad& mean = entry->second;
  if (load.exponent <= 0) {
    add_rank(balanced_counts(load), load.ranks, 0, mean);
    return mean;
  }
  Rng rng = streams_.stream("moe_benchmark_load", stream_index(load));
  for (int draw = 0; draw < draws_; ++draw) {
    const auto counts = power_law_counts(load, rng);
    add_rank(counts, load.ranks, busiest_rank(counts, load.ranks), mean);
  }
  for (double* value :
       {&mean.pairs, &mean.touched, &mean.tiles_64, &mean.tiles_128, &mean.busiest}) {
    *value /= draws_;
  }
  return mean;
}

}  // namespace moesim
