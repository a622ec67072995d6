// Repeated measurements: taken in turns, so that what disturbs the machine for some seconds
// disturbs all cases alike, and summed up by quantiles.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

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
};

struct Repeated {
  std::function<TimedSample()> run;
  RepeatLimits limits;
  std::vector<std::vector<TimedSample>> rounds;  // one list per visit
};

// Visits all cases in order, `rounds` times over. A visit runs a case once untimed (the one before
// has emptied the caches) and then repeats it. No patience is left once the visits together run
// behind `budget_s`.
void interleave(std::span<Repeated> cases, int rounds, double budget_s,
                const Progress& progress = {});

struct Quantiles {
  double median_s = 0.0;
  double p10_s = 0.0;
  double p90_s = 0.0;
  std::int64_t repeats = 0;      // that were counted
  std::int64_t undisturbed = 0;  // of all
};

// Of the undisturbed samples, or of all when fewer than three are undisturbed.
Quantiles quantiles(std::span<const TimedSample> samples);
Quantiles quantiles_of_all(const Repeated& repeated);

}  // namespace moesim
