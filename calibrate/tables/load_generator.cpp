#include "calibrate/tables/load_generator.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <queue>
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

// Pairs of every place for an expert: experts with the most pairs per replica are copied until all
// places are taken, then every place goes, busiest first, to the least loaded rank that has room.
// Places of one rank are neighbours.
std::vector<double> balanced_places(const std::vector<std::int64_t>& counts, std::int64_t ranks,
                                    std::int64_t slots) {
  std::vector<std::int64_t> replicas(counts.size(), 1);
  const auto per_replica = [&](std::size_t e) {
    return static_cast<double>(counts[e]) / static_cast<double>(replicas[e]);
  };
  for (auto used = static_cast<std::int64_t>(counts.size()); used < slots; ++used) {
    std::size_t most = 0;
    for (std::size_t e = 1; e < counts.size(); ++e) {
      most = per_replica(e) > per_replica(most) ? e : most;
    }
    ++replicas[most];
  }
  std::vector<double> places;
  for (std::size_t e = 0; e < counts.size(); ++e) {
    places.insert(places.end(), static_cast<std::size_t>(replicas[e]), per_replica(e));
  }
  std::ranges::stable_sort(places, std::greater<>());
  const auto room = static_cast<std::size_t>(slots / ranks);
  std::vector<std::vector<double>> of_rank(static_cast<std::size_t>(ranks));
  using Load = std::pair<double, std::size_t>;
  std::priority_queue<Load, std::vector<Load>, std::greater<>> least;
  for (std::size_t rank = 0; rank < of_rank.size(); ++rank) {
    least.emplace(0.0, rank);
  }
  for (const double pairs : places) {
    const auto [sum, rank] = least.top();
    least.pop();
    of_rank[rank].push_back(pairs);
    if (of_rank[rank].size() < room) {
      least.emplace(sum + pairs, rank);
    }
  }
  places.clear();
  for (const auto& rank : of_rank) {
    places.insert(places.end(), rank.begin(), rank.end());
  }
  return places;
}

// Whole pairs with the same sum: the largest remainders are rounded up.
std::vector<std::int64_t> whole_pairs(const std::vector<double>& places, std::int64_t sum) {
  std::vector<std::int64_t> counts;
  std::vector<std::pair<double, std::size_t>> remainders;
  for (std::size_t i = 0; i < places.size(); ++i) {
    counts.push_back(static_cast<std::int64_t>(places[i] + 1e-9));
    remainders.emplace_back(static_cast<double>(counts[i]) - places[i], i);
    sum -= counts[i];
  }
  std::ranges::sort(remainders);
  for (std::int64_t i = 0; i < sum; ++i) {
    ++counts[remainders[static_cast<std::size_t>(i) % remainders.size()].second];
  }
  return counts;
}

// Tokens with a pair on the rank's places [begin, end). The benchmark deals the places out, busiest
// first, to tokens 0, 1, ..., T - 1, 0, 1, ...
std::int64_t tokens_on_rank(const std::vector<std::int64_t>& counts, std::size_t begin,
                            std::size_t end, std::int64_t tokens) {
  std::vector<std::size_t> order(counts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](auto a, auto b) { return counts[a] > counts[b]; });
  std::vector<std::int64_t> change(static_cast<std::size_t>(tokens) + 1, 0);
  std::int64_t at = 0;
  for (const std::size_t place : order) {
    const std::int64_t last = at + counts[place];
    if (place >= begin && place < end && counts[place] > 0) {
      ++change[static_cast<std::size_t>(at)];
      --change[static_cast<std::size_t>(std::min(last, tokens))];
      if (last > tokens) {
        ++change[0];
        --change[static_cast<std::size_t>(std::min(last - tokens, tokens))];
      }
    }
    at = last % tokens;
  }
  std::int64_t covered = 0;
  std::int64_t depth = 0;
  for (std::int64_t t = 0; t < tokens; ++t) {
    depth += change[static_cast<std::size_t>(t)];
    covered += depth > 0 ? 1 : 0;
  }
  return covered;
}

std::int64_t balanced_choice(const LoadCase& load, std::int64_t token, std::int64_t i) {
  const std::int64_t stride = (load.experts + load.top_k - 1) / load.top_k;
  const std::int64_t first = load.tokens >= stride ? token : token * stride / load.tokens;
  return (first + i * stride) % load.experts;
}

// Experts that each token chose, top_k by token.
std::vector<std::int64_t> choices_of(const LoadCase& load,
                                     const std::vector<std::int64_t>& counts) {
  std::vector<std::int64_t> choices;
  if (load.exponent <= 0) {
    for (std::int64_t t = 0; t < load.tokens; ++t) {
      for (std::int64_t i = 0; i < load.top_k; ++i) {
        choices.push_back(balanced_choice(load, t, i));
      }
    }
    return choices;
  }
  std::vector<std::size_t> order(counts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](auto a, auto b) { return counts[a] > counts[b]; });
  choices.assign(static_cast<std::size_t>(load.tokens * load.top_k), 0);
  std::int64_t pair = 0;
  for (const std::size_t expert : order) {
    for (std::int64_t n = 0; n < counts[expert]; ++n, ++pair) {
      const std::int64_t place = pair % load.tokens * load.top_k + pair / load.tokens;
      choices[static_cast<std::size_t>(place)] = static_cast<std::int64_t>(expert);
    }
  }
  return choices;
}

// The lowest groups that hold a choice, then the lowest others.
std::vector<bool> kept_groups(const LoadCase& load, std::span<const std::int64_t> choices) {
  const std::int64_t size = load.experts / load.groups;
  std::vector<bool> chosen(static_cast<std::size_t>(load.groups), false);
  for (const std::int64_t expert : choices) {
    chosen[static_cast<std::size_t>(expert / size)] = true;
  }
  std::vector<bool> kept(chosen.size(), false);
  std::int64_t left = load.kept_groups;
  for (const bool wanted : {true, false}) {
    for (std::size_t g = 0; g < chosen.size() && left > 0; ++g) {
      if (chosen[g] == wanted) {
        kept[g] = true;
        --left;
      }
    }
  }
  return kept;
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
  const bool reciprocal = std::abs(power) < 1e-9;  // the law whose integral is a logarithm
  std::vector<double> popularity(static_cast<std::size_t>(load.experts));
  for (double& p : popularity) {
    const double u = rng.uniform();
    p = reciprocal ? low * std::pow(high / low, u) : std::pow(from + (to - from) * u, 1 / power);
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
  for (std::int64_t t = 0; t < load.tokens; ++t) {
    for (std::int64_t i = 0; i < load.top_k; ++i) {
      ++counts[static_cast<std::size_t>(balanced_choice(load, t, i))];
    }
  }
  return counts;
}

std::vector<std::int64_t> group_limited_counts(const LoadCase& load,
                                               std::vector<std::int64_t> counts) {
  ensure(load.groups > 0 && load.experts % load.groups == 0 && load.kept_groups <= load.groups &&
             load.top_k <= load.kept_groups * (load.experts / load.groups),
         "a token's experts fit into the groups that it keeps");
  const auto local = static_cast<std::ptrdiff_t>(load.experts / load.ranks);
  const auto most = static_cast<std::ptrdiff_t>(busiest_rank(counts, load.ranks));
  if (load.exponent > 0 && most > 0) {
    std::swap_ranges(counts.begin(), counts.begin() + local, counts.begin() + most * local);
  }
  const std::vector<std::int64_t> choices = choices_of(load, counts);
  const std::int64_t size = load.experts / load.groups;
  std::ranges::fill(counts, 0);
  for (std::int64_t t = 0; t < load.tokens; ++t) {
    const auto chosen = std::span(choices).subspan(static_cast<std::size_t>(t * load.top_k),
                                                   static_cast<std::size_t>(load.top_k));
    const std::vector<bool> kept = kept_groups(load, chosen);
    const auto is_kept = [&](std::int64_t e) { return kept[static_cast<std::size_t>(e / size)]; };
    std::int64_t missing = 0;
    for (const std::int64_t expert : chosen) {
      if (is_kept(expert)) {
        ++counts[static_cast<std::size_t>(expert)];
      } else {
        ++missing;
      }
    }
    for (std::int64_t e = 0; missing > 0; ++e) {
      if (is_kept(e) && std::ranges::find(chosen, e) == chosen.end()) {
        ++counts[static_cast<std::size_t>(e)];
        --missing;
      }
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
  const bool limited = load.kept_groups < load.groups;
  if (load.exponent <= 0) {
    const auto counts = balanced_counts(load);
    add_rank(limited ? group_limited_counts(load, counts) : counts, load.ranks, 0, mean);
    return mean;
  }
  Rng rng = streams_.stream("moe_benchmark_load", stream_index(load));
  for (int draw = 0; draw < draws_; ++draw) {
    const auto counts = power_law_counts(load, rng);
    if (limited) {
      add_rank(group_limited_counts(load, counts), load.ranks, 0, mean);
    } else {
      add_rank(counts, load.ranks, busiest_rank(counts, load.ranks), mean);
    }
  }
  for (double* value :
       {&mean.pairs, &mean.touched, &mean.tiles_64, &mean.tiles_128, &mean.busiest}) {
    *value /= draws_;
  }
  return mean;
}

MeanLoad LoadGenerator::received(const LoadCase& load, const ReceivedCase& received) const {
  constexpr int draws = 32;
  ensure(received.slots % load.ranks == 0, "ranks have equally many places");
  Rng rng = streams_.stream("moe_benchmark_received", stream_index(load));
  MeanLoad best;
  std::int64_t best_tokens = -1;
  for (int draw = 0; draw < draws; ++draw) {
    auto counts = load.exponent > 0 ? power_law_counts(load, rng) : balanced_counts(load);
    if (received.balanced) {
      counts = whole_pairs(balanced_places(counts, load.ranks, received.slots),
                           load.tokens * load.top_k);
    }
    const std::size_t rank = busiest_rank(counts, load.ranks);
    const std::size_t local = counts.size() / static_cast<std::size_t>(load.ranks);
    const std::int64_t tokens =
        tokens_on_rank(counts, rank * local, (rank + 1) * local, load.tokens);
    if (best_tokens < 0 ||
        std::abs(tokens - received.tokens) < std::abs(best_tokens - received.tokens)) {
      best = {};
      add_rank(counts, load.ranks, rank, best);
      best_tokens = tokens;
    }
  }
  if (best_tokens > 0) {
    const double scale = static_cast<double>(received.tokens) / static_cast<double>(best_tokens);
    best.pairs *= scale;
    best.busiest *= scale;
    best.touched = std::min(best.touched, best.pairs);
    best.tiles_64 = std::max(best.touched, best.tiles_64 * scale);
    best.tiles_128 = std::max(best.touched, best.tiles_128 * scale);
  }
  return best;
}

MeanLoad spread_load(double pairs, double touched, double busiest) {
  MeanLoad load;
  if (pairs <= 0 || touched <= 0) {
    return load;
  }
  constexpr int steps = 64;
  const double mean = pairs / touched;
  const double above = std::max(0.0, busiest - mean);
  load.pairs = pairs;
  load.touched = touched;
  load.busiest = mean + above;
  for (int i = 0; i < steps; ++i) {
    const double n = std::max(1e-9, mean + above * ((2.0 * i + 1) / steps - 1));
    load.tiles_64 += touched * std::ceil(n / 64) / steps;
    load.tiles_128 += touched * std::ceil(n / 128) / steps;
  }
  return load;
}

}  // namespace moesim
