#include "sim/core/rng.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "sim/core/error.h"

namespace moesim {

std::uint64_t Rng::below(std::uint64_t n) {
  ensure(n > 0, "Rng::below needs n > 0");
  const std::uint64_t reject_below = (0 - n) % n;  // 2^64 mod n
  for (;;) {
    const std::uint64_t draw = engine_();
    if (draw >= reject_below) {
      return draw % n;
    }
  }
}

double Rng::normal() {
  if (has_spare_) {
    has_spare_ = false;
    return spare_normal_;
  }
  const double radius = std::sqrt(2.0 * exponential());
  const double angle = 2.0 * std::numbers::pi * uniform();
  spare_normal_ = radius * std::sin(angle);
  has_spare_ = true;
  return radius * std::cos(angle);
}

double Rng::exponential() { return -std::log1p(-uniform()); }

double Rng::gamma(double shape) {
  ensure(shape > 0 && std::isfinite(shape), "Rng::gamma needs a positive shape");
  if (shape < 1.0) {
    const double boosted = gamma(shape + 1.0);
    return boosted * std::pow(1.0 - uniform(), 1.0 / shape);
  }
  const double d = shape - 1.0 / 3.0;
  const double c = 1.0 / std::sqrt(9.0 * d);
  for (;;) {
    const double x = normal();
    const double v = (1.0 + c * x) * (1.0 + c * x) * (1.0 + c * x);
    if (v > 0 && std::log(1.0 - uniform()) < 0.5 * x * x + d - d * v + d * std::log(v)) {
      return d * v;
    }
  }
}

Categorical::Categorical(std::span<const double> weights) {
  double sum = 0.0;
  cumulative_.reserve(weights.size());
  for (const double weight : weights) {
    ensure(std::isfinite(weight) && weight >= 0, "weights are finite and not negative");
    sum += weight;
    cumulative_.push_back(sum);
  }
  ensure(sum > 0 && std::isfinite(sum), "some weight is positive and their sum is finite");
}

std::size_t Categorical::operator()(Rng& rng) const {
  const double at = rng.uniform() * cumulative_.back();
  auto found = std::ranges::upper_bound(cumulative_, at);
  if (found == cumulative_.end()) {  // subnormal sums: `at` is rounded up to the sum
    found = std::ranges::lower_bound(cumulative_, cumulative_.back());
  }
  return static_cast<std::size_t>(found - cumulative_.begin());
}

Rng RngStreams::stream(std::string_view name, std::uint64_t index) const {
  std::uint64_t state = mix64(seed_);
  for (const char c : name) {
    state = mix64(state ^ static_cast<unsigned char>(c));
  }
  return Rng(mix64(state ^ mix64(index)));
}

}  // namespace moesim
