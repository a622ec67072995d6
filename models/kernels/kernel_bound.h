// A fitted family on the device that it answers for: its times and their errors.
#pragma once

#include <vector>

#include "models/kernels/kernel_choice.h"
#include "models/kernels/kernel_profile.h"
#include "models/kernels/kernel_transfer.h"

namespace moesim {

// One fitted family bound to the device that it is evaluated for.
struct BoundFamily {
  const KernelProfile* profile = nullptr;
  const FittedFamily* family = nullptr;
  Basis basis = Basis::uncalibrated;
  bool exact = true;                 // fitted on the formats that were asked for, not on relatives
  bool same_layout = true;           // fitted on experts' rows that lie as was asked for
  bool same_keys = true;             // false: on attention to all keys, where a window is asked for
  LawStanding rank;                  // of measured ones
  bool corrected = false;            // the family's correction holds for this key
  bool moved = false;                // the device's rates are not those of the fit
  double transfer_sigma = 0;         // what the transfer adds to the family's standard error
  std::vector<double> coefficients;  // as the device's multiprocessors have them
  KernelContext context;
  KernelContext fitted;  // of the device that was measured
  KernelContext spec;    // the device's own rates, which nothing beats

  // Between measured batches (FittedFamily::grid) the time follows the power law through the two
  // nearest ones, and what the form would say otherwise widens the error.
  [[nodiscard]] KernelEstimate estimate(const KernelShape& shape) const;

 private:
  // What a law knows of this device and of the one that was measured.
  struct Contexts {
    KernelContext here;
    KernelContext there;
  };
  [[nodiscard]] KernelEstimate between(const KernelShape& shape, const Contexts& of, double below,
                                       double above) const;
  [[nodiscard]] KernelEstimate at(const KernelShape& shape, const Contexts& of) const;
  [[nodiscard]] KernelEstimate form_at(const KernelShape& shape, const Contexts& of) const;
  [[nodiscard]] double correction(const KernelShape& shape, const KernelEstimate& form,
                                  const Contexts& of) const;
};

}  // namespace moesim
