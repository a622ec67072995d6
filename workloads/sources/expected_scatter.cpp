// Dealing leaves every source with its share of every expert to within one pick; in life they
// scatter. Swaps between two experts and two sources change no sum.
#include <algorithm>
#include <cmath>

#include "sim/core/rng.h"
#include "workloads/sources/expected_routing.h"

namespace moesim {
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
  // Experts of like popularity, so that both can give and take alike.
  const auto order =
      std::span(statistics_->by_share_).subspan(static_cast<std::size_t>(layer) * experts, experts);
  for (std::size_t pair = 0; pair + 1 < experts; pair += 2) {
    std::int32_t* const a = &count[order[pair] * sources];
    std::int32_t* const b = &count[order[pair + 1] * sources];
    const std::size_t first = mix64((static_cast<std::uint64_t>(layer) << 32) + pair) % k_draws;
    for (std::size_t s = 0; s < half; ++s) {
      const std::size_t t = s + half;
      const auto mine = static_cast<std::int32_t>(tokens_of_[s]);
      const auto theirs = static_cast<std::int32_t>(tokens_of_[t]);
      const float mean = 0.25F * static_cast<float>(a[s] + a[t] + b[s] + b[t]);
      // Rounding to whole picks scatters already.
      const float part = mean - static_cast<float>(static_cast<std::int32_t>(mean));
      const float wanted = std::max(mean * dispersion - part * (1.0F - part), 0.0F);
      const float draw = draws[(first + s) % k_draws] * std::sqrt(wanted);
      const auto low = -std::min({a[s], b[t], theirs - a[t], mine - b[s]});
      const auto high = std::min({a[t], b[s], mine - a[s], theirs - b[t]});
      const auto moved = std::clamp(static_cast<std::int32_t>(std::lrint(draw)), low, high);
      a[s] += moved;
      b[t] += moved;
      a[t] -= moved;
      b[s] -= moved;
    }
  }
}

}  // namespace moesim
