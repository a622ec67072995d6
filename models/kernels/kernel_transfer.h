// When measurements of one device may answer for another, and what that costs in trust.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "models/kernels/kernel_profile.h"

namespace moesim {

// How far a profile's device and framework are from those that are asked for; nearer first.
enum class Kinship {
  same_device,            // and framework
  same_die,               // another product with the same die, same framework
  same_device_framework,  // the device itself under another framework
  same_die_framework,
  other_generation,  // another NVIDIA generation, same framework
  other_generation_framework,
};

// nullopt: nothing that was measured on `fitted` says anything about `device` (another vendor).
std::optional<Kinship> kinship(const DevicePeaks& device, const DevicePeaks& fitted,
                               bool same_framework);

// Distance between two dies' generations in CUDA compute capability, 0 within one; dies for
// graphics and for data centres are farther apart than any two generations, and dies that are not
// known infinitely far.
double generation_distance(std::string_view architecture, std::string_view other);

// The context of `device` for coefficients that were fitted on `fitted`; the same rule whatever the
// die. Kernels keep the waves of the device that they were measured on: `sms` is its count, and the
// device's own counts in its peak, its on-die rate and transferred_coefficients. Traffic between
// multiprocessors and second-level cache keeps the fitted device's rate per multiprocessor,
// whatever memory is attached. e_comp is the fitted ratio of peak to reached arithmetic (1:
// unknown): the less a multiprocessor can do at its peak, the more of it is reached.
KernelContext transferred_context(const DevicePeaks& device, const DevicePeaks& fitted,
                                  const KernelKey& key, double e_comp);

// The family's coefficients where latencies that every multiprocessor pays one after the other
// (per tile, item, chunk of keys) shrink with their number.
std::vector<double> transferred_coefficients(const FittedFamily& family, const DevicePeaks& device,
                                             const DevicePeaks& fitted);

// Standard error of ln(time) that the transfer adds to the family's own.
double transfer_sigma(Kinship kinship);

}  // namespace moesim
