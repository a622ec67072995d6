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
  double deployment_share = 0.0;             // of the step's variance: see SharedErrors
  std::vector<ExtrapolatedOp> extrapolated;  // longest on the critical path first
};

// The part of a family's standard errors that it has in common with the other families of one
// origin, such as kernels that the same profile answers for another device.
struct SharedError {
  std::string family;
  std::string origin;
  double sigma = 0.0;
};

// Errors that are not a family's own.
struct SharedErrors {
  std::vector<SharedError> transfers;
  double deployment = 0.0;  // relative standard error of the whole step
};

// Standard error of one run of a deployment against another of the same: versions of the engine,
// tactics that its autotuner chose, the day. 80 % of 269 pairs of published runs of one
// configuration differ by at most 17 % (time per token of MiniMax-M2.5 on vLLM; ai-dynamo/
// aiconfigurator commit 095f58a51c4c, systems/silicon_sample.csv): ln 1.17 / (1.2816 sqrt 2).
inline constexpr double k_deployment_sigma = 0.09;

// First-order propagation along the critical path. With t_i the seconds and s_i the standard error
// of kernel i on it: a family's own errors are one error (sum of t_i s_i over the family), own
// errors of families are independent (squares add); a transfer's is one error for all families of
// its origin; the deployment's scales the whole step. README.md says when that is too optimistic.
Uncertainty propagate_uncertainty(const LoweredStep& step, const RunResult& result,
                                  const SharedErrors& shared = {});

// 10th and 90th percentile of a time with this relative standard error of its logarithm.
struct Interval {
  double p10 = 0.0;
  double p90 = 0.0;
};
Interval p10_p90(double value, double sigma);

}  // namespace moesim
