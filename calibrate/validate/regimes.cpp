#include "calibrate/validate/regimes.h"

#include <algorithm>
#include <cmath>

#include "sim/core/quantile.h"

namespace moesim {
namespace {

constexpr double k_base = 4.0;
constexpr double k_least_rows = 10.0;
constexpr double k_least_share = 0.02;

// The first of these that a shape has is its size.
constexpr std::array<std::string_view, 5> k_sizes{"m", "tokens", "context", "read", "bytes"};
constexpr std::array<std::string_view, 2> k_spreads{"local_experts", "ranks"};

double dim_of(const JudgedPoint& point, std::string_view name) {
  const auto found = std::ranges::find(point.dim_names, name);
  return found == point.dim_names.end()
             ? 0.0
             : point.dims[static_cast<std::size_t>(found - point.dim_names.begin())];
}

}  // namespace

void Regimes::note(Errors& errors, std::string_view variable, double value, double error) {
  if (value > 0.0) {
    // The small step keeps exact powers, whose logarithm may fall short of an integer, together.
    const int exponent = static_cast<int>(std::floor(std::log2(value) / std::log2(k_base) + 1e-9));
    errors[{variable, exponent}].push_back(static_cast<float>(error));
  }
}

void Regimes::add(const JudgedPoint& point) {
  auto group = groups_.find(point.group);
  if (group == groups_.end()) {
    group = groups_.emplace(std::string(point.group), Errors{}).first;
  }
  const double error = std::abs(point.predicted_s / point.measured_s - 1.0);
  const auto size = std::ranges::find_if(
      k_sizes, [&point](std::string_view name) { return dim_of(point, name) > 0.0; });
  if (size != k_sizes.end()) {
    note(group->second, *size, dim_of(point, *size), error);
  }
  for (const std::string_view name : k_spreads) {
    note(group->second, name, dim_of(point, name), error);
  }
  note(group->second, "measured_s", point.measured_s, error);
}

std::map<std::string, Regime> Regimes::worst() const {
  std::map<std::string, Regime> result;
  for (const auto& [name, buckets] : groups_) {
    double rows = 0.0;  // every point has a measured time
    for (const auto& [bucket, errors] : buckets) {
      rows += bucket.variable == "measured_s" ? static_cast<double>(errors.size()) : 0.0;
    }
    for (const auto& [bucket, errors] : buckets) {
      if (static_cast<double>(errors.size()) < std::max(k_least_rows, k_least_share * rows)) {
        continue;
      }
      const std::vector<double> values(errors.begin(), errors.end());
      const double median = quantile(values, 0.5);
      const auto known = result.find(name);
      if (known == result.end() || median > known->second.median_ape) {
        const double from = std::pow(k_base, bucket.exponent);
        result[name] = {.variable = std::string(bucket.variable),
                        .from = from,
                        .to = k_base * from,
                        .n = static_cast<std::int64_t>(errors.size()),
                        .median_ape = median,
                        .p90_ape = quantile(values, 0.9)};
      }
    }
  }
  return result;
}

}  // namespace moesim
