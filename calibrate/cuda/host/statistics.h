// Median and spread of repeated times.
#pragma once

#include <vector>

namespace moesim::bench {

struct Statistics {
  double median_ms = 0;
  double p10_ms = 0;
  double p90_ms = 0;
  int repeats = 0;
};

// Quantiles are linear between order statistics. Throws InvariantError unless there is at least one
// sample and every sample is a positive finite number: a clock that says otherwise is broken.
Statistics summarise(std::vector<double> samples_ms);

}  // namespace moesim::bench
