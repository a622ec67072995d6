// How unequal the load of a layer's experts is.
#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "workloads/statistics/statistics_parts.h"

namespace moesim::detail {
namespace {

// Slope of the least-squares line through (log rank, log share), negated.
double zipf_exponent(std::vector<double> shares) {
  std::ranges::sort(shares, std::greater<>());
  const auto n = static_cast<double>(shares.size());
  double mean_x = 0.0;
  double mean_y = 0.0;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    mean_x += std::log(static_cast<double>(i + 1)) / n;
    mean_y += std::log(shares[i]) / n;
  }
  double xy = 0.0;
  double xx = 0.0;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    const double x = std::log(static_cast<double>(i + 1)) - mean_x;
    xy += x * (std::log(shares[i]) - mean_y);
    xx += x * x;
  }
  return -xy / xx;
}

}  // namespace

double mean(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

void add_layer_load_rows(const std::string& layer, std::span<const double> loads, Rows& rows) {
  const auto experts = static_cast<double>(loads.size());
  const double total = std::accumulate(loads.begin(), loads.end(), 0.0);
  if (total <= 0.0 || loads.size() < 2) {
    return;
  }
  std::vector<double> shares;
  double variance = 0.0;
  for (const double load : loads) {
    shares.push_back(load / total);
    const double off = load / total - 1.0 / experts;
    variance += off * off / experts;
  }
  rows.push_back({"expert_load_max_over_mean", layer, "whole set; BOS excluded",
                  std::ranges::max(shares) * experts, "ratio"});
  rows.push_back({"expert_load_cv", layer, "whole set", std::sqrt(variance) * experts, "ratio"});
  // Both need every expert to be chosen, and some inequality.
  if (std::ranges::min(shares) > 0.0) {
    rows.push_back({"zipf_exponent", layer, "rank fit all " + std::to_string(loads.size()),
                    zipf_exponent(shares), ""});
  }
  if (variance > 0.0) {
    const double uniform = 1.0 / experts;
    rows.push_back({"dirichlet_alpha_per_expert", layer, "moment fit",
                    (uniform * (1.0 - uniform) / variance - 1.0) / experts, ""});
  }
}

}  // namespace moesim::detail
