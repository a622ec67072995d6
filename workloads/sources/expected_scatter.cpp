// Dealing leaves every source with its share of every expert to within one pick; in life they
// scatter. Swaps between two experts and two sources change no sum.
#include <algorithm>
#include <cmath>

#include "sim/core/rng.h"
#include "workloads/sources/expected_routing.h"

namespace moesim {
namespace {

// Two sources' counts of two experts, side by side, and their tokens.
struct Pairs {
  std::int32_t* __restrict a_mine;
  std::int32_t* __restrict a_theirs;
  std::int32_t* __restrict b_mine;
  std::int32_t* __restrict b_theirs;
  const std::int32_t* __restrict mine;
  const std::int32_t* __restrict theirs;
};

constexpr float k_far = 0x1p21F;

// To the nearest whole number, ties to even, as lrint() does; |value| < 2^22.
std::int32_t nearest(float value) {
  constexpr float whole = 0x1.8p23F;  // floats of this size have no fractions
  return static_cast<std::int32_t>((value + whole) - whole);
}

std::int32_t least(std::int32_t a, std::int32_t b) { return a < b ? a : b; }

// A plain loop over arrays, without a call or a reference, for the compiler to vectorise.
void swap_picks(const Pairs& of, std::size_t begin, std::size_t end, float dispersion,
                const float* __restrict draws) {
  const Pairs p = of;
  for (std::size_t s = begin; s < end; ++s) {
    const std::int32_t a = p.a_mine[s];
    const std::int32_t a2 = p.a_theirs[s];
    const std::int32_t b = p.b_mine[s];
    const std::int32_t b2 = p.b_theirs[s];
    const float mean = 0.25F * static_cast<float>(a + a2 + b + b2);
    // Rounding to whole picks scatters already.
    const float part = mean - static_cast<float>(static_cast<std::int32_t>(mean));
    const float more = mean * dispersion - part * (1.0F - part);
    float draw = draws[s - begin] * std::sqrt(more > 0.0F ? more : 0.0F);
    // No batch of 2^31 picks scatters so far; nearest() needs to know.
    draw = draw < k_far ? draw : k_far;
    draw = draw > -k_far ? draw : -k_far;
    const std::int32_t low = -least(least(a, b2), least(p.theirs[s] - a2, p.mine[s] - b));
    const std::int32_t high = least(least(a2, b), least(p.mine[s] - a, p.theirs[s] - b2));
    const std::int32_t wanted = nearest(draw);
    const std::int32_t moved = least(wanted > low ? wanted : low, high);
    p.a_mine[s] = a + moved;
    p.b_theirs[s] = b2 + moved;
    p.a_theirs[s] = a2 - moved;
    p.b_mine[s] = b - moved;
  }
}

}  // namespace

void ExpectedBatch::scatter(int layer, std::span<std::int32_t> count) const {
  const std::size_t sources = tokens_of_.size();
  const auto experts = static_cast<std::size_t>(statistics_->router().experts);
  if (statistics_->exact_ || sources < 2 || experts < 2) {
    return;
  }
  double variance = 0.0;
  for (const SourceSequences& part : classes_) {
    variance += static_cast<double>(part.sequences * part.tokens) *
                statistics_->overdispersion(layer, part.tokens);
  }
  const auto dispersion = static_cast<float>(variance / static_cast<double>(tokens_));
  const std::vector<float>& draws = statistics_->draws_;
  constexpr std::size_t k_draws = RoutingStatistics::k_draws;
  const std::size_t half = sources / 2;
  const std::vector<std::int32_t> tokens(tokens_of_.begin(), tokens_of_.end());
  // Experts of like popularity, so that both can give and take alike.
  const auto order =
      std::span(statistics_->by_share_).subspan(static_cast<std::size_t>(layer) * experts, experts);
  for (std::size_t pair = 0; pair + 1 < experts; pair += 2) {
    std::int32_t* const a = &count[order[pair] * sources];
    std::int32_t* const b = &count[order[pair + 1] * sources];
    const std::size_t first = mix64((static_cast<std::uint64_t>(layer) << 32) + pair) % k_draws;
    const Pairs pairs{a, a + half, b, b + half, tokens.data(), tokens.data() + half};
    for (std::size_t s = 0; s < half;) {  // the draws are a ring
      const std::size_t place = (first + s) % k_draws;
      const std::size_t end = std::min(half, s + k_draws - place);
      swap_picks(pairs, s, end, dispersion, &draws[place]);
      s = end;
    }
  }
}

}  // namespace moesim
