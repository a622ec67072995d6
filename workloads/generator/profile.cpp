// Target loads: a random shape, stretched until coefficient of variation and maximum are the
// profile's.
#include "workloads/generator/profile.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "sim/core/rng.h"

namespace moesim {
namespace {

// Loads relative to their mean: exp(stretch * z) with the hottest set to `hottest`, none above it.
std::vector<double> stretched(const std::vector<double>& z, double stretch, double hottest) {
  const auto n = static_cast<double>(z.size());
  std::vector<double> loads;
  for (const double value : z) {
    loads.push_back(std::exp(stretch * value));
  }
  if (loads.size() < 2) {
    return {1.0};
  }
  const auto hot = std::ranges::max_element(z) - z.begin();
  const double peak = std::min(hottest, 0.9 * n);
  // Clipping moves the mean of the others, so scaling and clipping alternate until both hold.
  for (int pass = 0; pass < 20; ++pass) {
    loads[static_cast<std::size_t>(hot)] = 0.0;
    const double others = std::accumulate(loads.begin(), loads.end(), 0.0);
    for (auto& load : loads) {
      load = std::min(load * (n - peak) / others, peak);
    }
  }
  loads[static_cast<std::size_t>(hot)] = peak;
  return loads;
}

double variation(const std::vector<double>& loads) {
  const auto n = static_cast<double>(loads.size());
  const double mean = std::accumulate(loads.begin(), loads.end(), 0.0) / n;
  double sum = 0.0;
  for (const double load : loads) {
    sum += (load / mean - 1.0) * (load / mean - 1.0);
  }
  return std::sqrt(sum / n);
}

// Loads of n experts with mean 1.
std::vector<double> shaped_loads(std::size_t n, double cv, double hottest, Rng& rng) {
  std::vector<double> z(n);
  for (auto& value : z) {
    value = rng.normal();
  }
  double low = 0.0;
  double high = 10.0;
  for (int i = 0; i < 50; ++i) {
    const double middle = 0.5 * (low + high);
    (variation(stretched(z, middle, hottest)) < cv ? low : high) = middle;
  }
  return stretched(z, low, hottest);
}

void scale_to(std::span<double> loads, double sum) {
  const double now = std::accumulate(loads.begin(), loads.end(), 0.0);
  for (auto& load : loads) {
    load *= sum / now;
  }
}

}  // namespace

std::vector<double> target_loads(const GeneratorProfile& profile, int layer) {
  const auto l = static_cast<std::size_t>(layer);
  if (!profile.load_shares.empty()) {
    auto shares = profile.load_shares[l];
    scale_to(shares, 1.0);
    return shares;
  }
  Rng rng = RngStreams(profile.model_seed).stream("routing/loads", l);
  const auto zero = static_cast<std::size_t>(profile.zero_experts);
  const auto ffn = static_cast<std::size_t>(profile.router.experts) - zero;
  auto loads = shaped_loads(ffn, profile.load_cv[l], profile.load_max_over_mean[l], rng);
  scale_to(loads, 1.0 - (zero > 0 ? profile.zero_share : 0.0));
  if (zero > 0) {
    auto of_zero = shaped_loads(zero, profile.load_cv[l], profile.load_max_over_mean[l], rng);
    scale_to(of_zero, profile.zero_share);
    loads.insert(loads.end(), of_zero.begin(), of_zero.end());
  }
  if (profile.router.per_group_k > 0) {
    // Every group gets the same number of selections, whatever the scores.
    const auto groups = static_cast<std::size_t>(profile.router.groups);
    const std::size_t size = loads.size() / groups;
    for (std::size_t g = 0; g < groups; ++g) {
      scale_to(std::span(loads).subspan(g * size, size), 1.0 / static_cast<double>(groups));
    }
  }
  return loads;
}

}  // namespace moesim
