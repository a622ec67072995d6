// Error bars of a step: how the kernels' and the network's standard errors add up.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/engine/results/critical_path.h"

namespace moesim {

// What one kernel family or communication law adds to the step's uncertainty.
struct FamilyUncertainty {
  std::string family;           // as in LoweredStep::families
  double critical_s = 0.0;      // seconds on the critical path
  double sigma = 0.0;           // relative standard error of these seconds
  double variance_share = 0.0;  // of the step's variance; all families' add up to 1
};

// One kind of kernel that was asked for outside the range of its fit.
struct ExtrapolatedOp {
  std::string_view label;
  std::string family;
  int layers = 0;           // in how many layers, on any rank
  double critical_s = 0.0;  // seconds on the critical path
};

struct Uncertainty {
  double sigma = 0.0;                        // relative standard error of the step's time
  std::vector<FamilyUncertainty> families;   // on the critical path; largest contribution first
  std::vector<ExtrapolatedOp> extrapolated;  // longest on the critical path first
};

// First-order propagation along the critical path. With t_i the seconds and s_i the standard error
// of kernel i on it: a family's errors are one error (sum of t_i s_i over the family), families
// are independent (squares add). README.md says when that is too optimistic.
Uncertainty propagate_uncertainty(const LoweredStep& step, const RunResult& result);

// 10th and 90th percentile of a time with this relative standard error of its logarithm.
struct Interval {
  double p10 = 0.0;
  double p90 = 0.0;
};
Interval p10_p90(double value, double sigma);

}  // namespace moesim
