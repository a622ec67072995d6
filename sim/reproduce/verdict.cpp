#include "sim/reproduce/verdict.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr std::array<std::string_view, 4> names{"reproduced", "partly", "not", "not_attempted"};
constexpr double k_infinity = std::numeric_limits<double>::infinity();
constexpr double k_rounding = 1e-9;  // of decimal fractions: 41.8 + 10 must still admit 51.8

struct Interval {
  double low = 0.0;
  double high = 0.0;
};

Interval interval_of(const Target& target, std::size_t figure) {
  Interval interval{target.published[figure], target.published[figure]};
  if (target.is_range) {
    const auto [low, high] = std::ranges::minmax(target.published);
    interval = {low, high};
  }
  if (target.bound == Bound::at_most) {
    interval.low = -k_infinity;
  } else if (target.bound == Bound::at_least) {
    interval.high = k_infinity;
  }
  return interval;
}

double nearest_end(const Interval& interval, double simulated) {
  return simulated < interval.low ? interval.low : interval.high;
}

bool inside(const Interval& interval, double simulated) {
  return simulated >= interval.low && simulated <= interval.high;
}

// How far outside, in units of the tolerance: 0 inside, 1 at its edge.
double excess(const Target& target, const Interval& interval, std::size_t figure,
              double simulated) {
  if (inside(interval, simulated)) {
    return 0.0;
  }
  const double end = nearest_end(interval, simulated);
  const double distance = std::abs(simulated - end);
  double allowed = 0.0;
  switch (target.tolerance.kind) {
    case ToleranceKind::relative:
      allowed = *target.tolerance.value * std::abs(end);
      break;
    case ToleranceKind::points:
    case ToleranceKind::absolute:
      allowed = *target.tolerance.value;
      break;
    case ToleranceKind::exact:
      allowed = target.half_digits[figure];
      break;
    case ToleranceKind::sign:
    case ToleranceKind::none:
      return k_infinity;
  }
  return allowed > 0 ? distance / allowed : k_infinity;
}

// Both better, or both worse, than no change.
bool same_direction(const Target& target, std::size_t figure, double simulated) {
  const double published = target.published[figure] - target.neutral;
  const double ours = simulated - target.neutral;
  return published * ours > 0 || (published == 0 && ours == 0);
}

Verdict judge_figure(const Target& target, std::size_t figure, double simulated) {
  const bool right = same_direction(target, figure, simulated);
  if (target.tolerance.kind == ToleranceKind::sign) {
    const double least = target.tolerance.value.value_or(0.0);
    const bool enough = std::abs(simulated - target.neutral) >= least * (1 - k_rounding);
    return !right ? Verdict::no : enough ? Verdict::reproduced : Verdict::partly;
  }
  if (target.tolerance.kind == ToleranceKind::none) {
    return right ? Verdict::partly : Verdict::no;
  }
  const Interval interval = interval_of(target, figure);
  const double outside = excess(target, interval, figure, simulated);
  if (outside <= 1 + k_rounding) {
    return Verdict::reproduced;
  }
  return right && outside <= 2 * (1 + k_rounding) ? Verdict::partly : Verdict::no;
}

void check(const Target& target, std::span<const double> simulated) {
  ensure(!target.published.empty(), "a target has a published figure");
  ensure(simulated.size() == (target.is_range ? 1 : target.published.size()),
         "as many figures are simulated as published");
  ensure(target.tolerance.kind != ToleranceKind::exact ||
             target.half_digits.size() == target.published.size(),
         "exact figures know how they are printed");
}

}  // namespace

std::string_view name_of(Verdict verdict) { return names.at(static_cast<std::size_t>(verdict)); }

double neutral_of(std::string_view unit) {
  return unit == "x" || unit.starts_with("x ") || unit == "ratio" ? 1.0 : 0.0;
}

Verdict judge(const Target& target, std::span<const double> simulated) {
  check(target, simulated);
  Verdict worst = Verdict::reproduced;
  for (std::size_t i = 0; i < simulated.size(); ++i) {
    worst = std::max(worst, judge_figure(target, i, simulated[i]));
  }
  return worst;
}

std::vector<double> ratios(const Target& target, std::span<const double> simulated) {
  check(target, simulated);
  std::vector<double> result;
  for (std::size_t i = 0; i < simulated.size(); ++i) {
    double published = target.published[i];
    if (target.is_range) {
      const auto [low, high] = std::ranges::minmax(target.published);
      published = std::clamp(simulated[i], low, high);
    }
    result.push_back(published == simulated[i] ? 1.0
                     : published == 0.0        ? k_infinity
                                               : simulated[i] / published);
  }
  return result;
}

}  // namespace moesim
