#include "calibrate/cuda/host/expert_routing.h"

#include <algorithm>
#include <numeric>

#include "calibrate/tables/load_generator.h"
#include "sim/core/error.h"

namespace moesim::bench {
namespace {

constexpr int draws = 8;

std::int64_t sum(const std::vector<std::int64_t>& counts) {
  return std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
}

std::vector<std::int64_t> rank_counts(const std::vector<std::int64_t>& counts, std::int64_t ranks,
                                      std::size_t rank) {
  const auto local = static_cast<std::ptrdiff_t>(counts.size()) / ranks;
  const auto begin = counts.begin() + static_cast<std::ptrdiff_t>(rank) * local;
  return {begin, begin + local};
}

std::vector<std::int64_t> timed_counts(const MoeCase& moe, const RngStreams& streams) {
  const LoadCase load{moe.tokens, moe.top_k, moe.experts, moe.ep, moe.exponent};
  if (moe.exponent <= 0) {
    return rank_counts(balanced_counts(load), moe.ep, 0);
  }
  Rng rng = streams.stream("expert_loads");
  std::vector<std::vector<std::int64_t>> drawn;
  for (int draw = 0; draw < draws; ++draw) {
    const auto counts = power_law_counts(load, rng);
    drawn.push_back(rank_counts(counts, moe.ep, busiest_rank(counts, moe.ep)));
  }
  std::ranges::stable_sort(drawn, {}, sum);
  return drawn[draws / 2];
}

}  // namespace

RankRouting route_to_busiest_rank(const MoeCase& moe, std::uint64_t seed) {
  ensure(moe.experts % moe.ep == 0, "ranks hold equally many experts");
  ensure(moe.top_k <= moe.experts, "a token chooses among the experts");
  const RngStreams streams(seed);
  RankRouting routing;
  routing.counts = timed_counts(moe, streams);
  routing.pairs = sum(routing.counts);
  const auto tokens = static_cast<std::size_t>(moe.tokens);
  const auto top_k = static_cast<std::size_t>(moe.top_k);
  std::vector<std::size_t> order(tokens);
  std::iota(order.begin(), order.end(), std::size_t{0});
  Rng rng = streams.stream("token_order");
  shuffle(std::span(order), rng);
  routing.choices.assign(tokens * top_k, -1);
  std::vector<std::size_t> used(tokens, 0);
  // The experts take the shuffled tokens in turn, round and round: nobody gets one token twice,
  // because no count exceeds the tokens, and the tokens' shares differ by one at most.
  std::size_t cursor = 0;
  for (std::size_t expert = 0; expert < routing.counts.size(); ++expert) {
    for (std::int64_t i = 0; i < routing.counts[expert]; ++i) {
      const std::size_t token = order[cursor];
      cursor = (cursor + 1) % tokens;
      routing.choices[token * top_k + used[token]++] = static_cast<std::int32_t>(expert);
    }
  }
  return routing;
}

std::int64_t touched_experts(const RankRouting& routing) {
  return std::ranges::count_if(routing.counts, [](std::int64_t count) { return count > 0; });
}

RankRouting moved_to_slots(const RankRouting& routing, std::int64_t slots, int set) {
  ensure(slots >= static_cast<std::int64_t>(routing.counts.size()), "every expert finds a slot");
  RankRouting moved;
  moved.pairs = routing.pairs;
  moved.counts.assign(static_cast<std::size_t>(slots), 0);
  std::vector<std::int32_t> slot_of(routing.counts.size(), -1);
  std::int64_t next = set * touched_experts(routing);
  for (std::size_t expert = 0; expert < routing.counts.size(); ++expert) {
    if (routing.counts[expert] > 0) {
      slot_of[expert] = static_cast<std::int32_t>(next++ % slots);
      moved.counts[static_cast<std::size_t>(slot_of[expert])] = routing.counts[expert];
    }
  }
  moved.choices = routing.choices;
  for (std::int32_t& choice : moved.choices) {
    choice = choice < 0 ? -1 : slot_of[static_cast<std::size_t>(choice)];
  }
  return moved;
}

}  // namespace moesim::bench
