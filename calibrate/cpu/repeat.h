// Repeated measurements: taken in turns, so that what disturbs the machine for some seconds
// disturbs all cases alike, round after round until they are sure enough or the budget is spent.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "calibrate/cpu/measured_time.h"
#include "calibrate/cpu/thread_team.h"
#include "sim/core/progress.h"

namespace moesim {

// How long a case is repeated at every visit: `seconds`, but not more than max_repeats; where other
// processes disturb it, up to `patience` times as long, for min_undisturbed repeats.
struct RepeatLimits {
  double seconds = 0.05;
  int min_undisturbed = 3;
  int max_repeats = 50;
  double patience = 6.0;
  int warm_ups = 1;  // untimed repeats first: the case before has emptied the caches
};

struct Repeated {
  std::function<TimedSample()> run;
  RepeatLimits limits;
  std::vector<std::vector<TimedSample>> rounds;  // one list per visit
};

// When a session ends: not before `least` rounds, unless the budget is spent; not after `most`;
// between them, once the times are narrow enough.
struct RoundPlan {
  int least = 4;
  int most = 4;
  double patience_s = 1e9;  // behind that pace, nobody waits for undisturbed windows
  double budget_s = 1e9;    // the session ends where it is then
  double half_width = 0.0;  // see are_narrow()
};

// What a session needs to know of the machine; tests bring their own.
struct SessionHooks {
  Progress progress = {};
  const std::atomic<bool>* cancel = nullptr;     // once true, no further repeat starts
  std::function<std::int64_t()> stolen_ticks{};  // so far, by the hypervisor; empty: unknown
  std::function<double()> now_s = host_now_s;
};

struct SessionEnd {
  int rounds = 0;  // that every case was visited in
  bool narrow = false;
  bool cancelled = false;
  std::int64_t stolen_visits = 0;
  std::int64_t visits = 0;
};

// Visits all cases, round after round, in an order that mixes them: neighbours in the list are far
// apart in time, so that no part of the list has a bad minute to itself. A visit runs a case once
// untimed (the one before has emptied the caches) and then repeats it. Windows of a visit in which
// the hypervisor took time count as disturbed: the tick does not say which.
SessionEnd interleave(std::span<Repeated> cases, const RoundPlan& plan,
                      const SessionHooks& hooks = {});

struct Quantiles {
  double median_s = 0.0;
  double p10_s = 0.0;
  double p90_s = 0.0;
  std::int64_t repeats = 0;      // that were counted
  std::int64_t undisturbed = 0;  // of all
};

// Of the undisturbed samples, or of all when fewer than three are undisturbed. All 0 without any.
Quantiles quantiles(std::span<const TimedSample> samples);
Quantiles quantiles_of_all(const Repeated& repeated);

}  // namespace moesim
