#include "calibrate/cpu/repeat.h"

#include <algorithm>
#include <cmath>

#include "sim/core/error.h"
#include "sim/core/quantile.h"

namespace moesim {

namespace {

void visit(Repeated& one, bool patient) {
  std::vector<TimedSample>& samples = one.rounds.emplace_back();
  one.run();
  const double start = host_now_s();
  const RepeatLimits& limits = one.limits;
  int undisturbed = 0;
  for (int i = 0; i < limits.max_repeats; ++i) {
    const double spent = host_now_s() - start;
    const bool enough = undisturbed >= limits.min_undisturbed || !patient;
    if (i >= limits.min_undisturbed && spent > limits.seconds * (enough ? 1.0 : limits.patience)) {
      break;
    }
    samples.push_back(one.run());
    undisturbed += samples.back().undisturbed ? 1 : 0;
  }
}

}  // namespace

void interleave(std::span<Repeated> cases, int rounds, double budget_s, const Progress& progress) {
  const std::size_t total = cases.size() * static_cast<std::size_t>(rounds);
  const double start = host_now_s();
  std::size_t done = 0;
  for (int round = 0; round < rounds; ++round) {
    for (Repeated& one : cases) {
      const double due = budget_s * static_cast<double>(done + 1) / static_cast<double>(total);
      visit(one, host_now_s() - start < due);
      ++done;
      tell(progress, done, total);
    }
  }
}

Quantiles quantiles(std::span<const TimedSample> samples) {
  std::vector<double> values;
  for (const TimedSample& sample : samples) {
    if (sample.undisturbed) {
      values.push_back(sample.seconds);
    }
  }
  const auto undisturbed = static_cast<std::int64_t>(values.size());
  if (values.size() < 3) {
    values.clear();
    for (const TimedSample& sample : samples) {
      values.push_back(sample.seconds);
    }
  }
  return {quantile(values, 0.5), quantile(values, 0.1), quantile(values, 0.9),
          static_cast<std::int64_t>(values.size()), undisturbed};
}

Quantiles quantiles_of_all(const Repeated& repeated) {
  std::vector<TimedSample> all;
  for (const auto& round : repeated.rounds) {
    all.insert(all.end(), round.begin(), round.end());
  }
  return quantiles(all);
}

}  // namespace moesim
