#include "calibrate/cpu/repeat.h"

#include <algorithm>
#include <numeric>

#include "sim/core/error.h"
#include "sim/core/quantile.h"

namespace moesim {

namespace {

// Without a common factor with n, and near its golden section.
std::size_t mixing_stride(std::size_t n) {
  auto stride = static_cast<std::size_t>(0.618 * static_cast<double>(n));
  while (std::gcd(stride, n) != 1) {
    ++stride;
  }
  return n == 0 ? 1 : stride;
}

class Session {
 public:
  Session(std::span<Repeated> cases, const RoundPlan& plan, const SessionHooks& hooks)
      : cases_(cases),
        plan_(plan),
        hooks_(hooks),
        start_s_(hooks.now_s()),
        stride_(mixing_stride(cases.size())) {}

  SessionEnd run() {
    for (int round = 0; round < plan_.most && !is_over(); ++round) {
      if (round >= plan_.least) {
        end_.narrow = is_narrow();
        if (end_.narrow) {
          break;
        }
      }
      const std::size_t total =
          cases_.size() * static_cast<std::size_t>(std::max(plan_.least, round + 1));
      for (std::size_t i = 0; i < cases_.size() && !is_over(); ++i) {
        const std::size_t done = static_cast<std::size_t>(round) * cases_.size() + i + 1;
        const double share = static_cast<double>(done) / static_cast<double>(total);
        visit(cases_[i * stride_ % cases_.size()], share);
        tell_progress(share);
        end_.rounds += i + 1 == cases_.size() ? 1 : 0;
      }
    }
    end_.narrow = end_.narrow || is_narrow();
    end_.cancelled = is_cancelled();
    return end_;
  }

 private:
  [[nodiscard]] double spent_s() const { return hooks_.now_s() - start_s_; }
  [[nodiscard]] bool is_cancelled() const { return hooks_.cancel != nullptr && *hooks_.cancel; }
  [[nodiscard]] bool is_over() const { return is_cancelled() || spent_s() >= plan_.budget_s; }
  [[nodiscard]] std::int64_t stolen() const {
    return hooks_.stolen_ticks ? hooks_.stolen_ticks() : 0;
  }

  [[nodiscard]] bool is_narrow() const {
    std::vector<MeasuredTime> times;
    for (const Repeated& one : cases_) {
      times.push_back(measured_time(one.rounds));
    }
    return are_narrow(times, plan_.half_width);
  }

  // Later rounds are as many as the budget allows.
  void tell_progress(double share_of_rounds) const {
    if (hooks_.progress) {
      hooks_.progress(std::min(
          1.0, std::max(share_of_rounds * plan_.least / plan_.most, spent_s() / plan_.budget_s)));
    }
  }

  // `share`: of the session, which should be over by the end of this visit.
  void visit(Repeated& one, double share) {
    std::vector<TimedSample>& samples = one.rounds.emplace_back();
    const std::int64_t before = stolen();
    for (int i = 0; i < one.limits.warm_ups; ++i) {
      one.run();
    }
    const double start = hooks_.now_s();
    const bool patient = start - start_s_ < plan_.patience_s * share;
    const RepeatLimits& limits = one.limits;
    int undisturbed = 0;
    for (int i = 0; i < limits.max_repeats && !is_cancelled(); ++i) {
      const double spent = hooks_.now_s() - start;
      const bool enough = undisturbed >= limits.min_undisturbed || (!patient && i > 0);
      if (i > 0 && spent > limits.seconds * (enough ? 1.0 : limits.patience)) {
        break;
      }
      samples.push_back(one.run());
      undisturbed += samples.back().undisturbed ? 1 : 0;
    }
    ++end_.visits;
    if (stolen() != before) {
      ++end_.stolen_visits;
      for (TimedSample& sample : samples) {
        sample.undisturbed = false;
      }
    }
  }

  std::span<Repeated> cases_;
  RoundPlan plan_;
  const SessionHooks& hooks_;
  double start_s_;
  std::size_t stride_;
  SessionEnd end_;
};

}  // namespace

SessionEnd interleave(std::span<Repeated> cases, const RoundPlan& plan, const SessionHooks& hooks) {
  return Session(cases, plan, hooks).run();
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
  if (values.empty()) {
    return {};
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
