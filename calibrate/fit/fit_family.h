// Fits one kernel family: the form's coefficients, the correction of what they leave, and the
// errors of both on shapes that were left out.
#pragma once

#include <string>
#include <vector>

#include "calibrate/fit/family_form.h"
#include "calibrate/fit/fit_errors.h"
#include "calibrate/tables/kernel_rows.h"
#include "models/kernels/kernel_profile.h"

namespace moesim {

struct KernelFitOptions {
  std::string date;                    // of the measurements, goes into the profiles
  std::size_t rows_per_family = 2500;  // drawn for the coefficients; more changes little
  int iterations = 100;
  int folds = 4;           // of shape groups, for the left-out error
  bool correct = true;     // fit corrections
  std::uint64_t seed = 1;  // of the simulated expert loads
  int threads = 1;
};

// `rows` must not be empty.
FittedFamily fit_family(const std::vector<const KernelRow*>& rows, const KernelForm& form,
                        const KernelContext& context, const std::string& kernel_source,
                        const KernelFitOptions& options);

}  // namespace moesim
