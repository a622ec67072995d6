// Fits kernel profiles to a folder of measurements.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "calibrate/kernel_rows.h"
#include "models/kernel_profile.h"

namespace moesim {

// Called between files: how many of how many are done, and what comes next.
using Progress = std::function<void(std::size_t done, std::size_t total, const std::string& what)>;

struct FitOptions {
  std::string date;                    // of the measurements, goes into the profiles
  std::size_t rows_per_family = 2500;  // drawn from those that there are; more changes little
  int iterations = 100;
  int folds = 4;           // of shape groups, for the left-out error
  std::uint64_t seed = 1;  // of the simulated expert loads
};

// One profile per (system, framework, version) found below `dir`, and the spec sheet ("any",
// framework spec_sheet) with the median roofline coefficients of all families. Deterministic to
// the last bit. Throws ConfigError for damaged files or when nothing can be fitted.
std::vector<KernelProfile> fit_profiles(const std::string& dir, const DeviceLookup& devices,
                                        const FitOptions& options, const Progress& progress = {});

// One fitted form: coefficients and errors. `rows` must not be empty.
FittedFamily fit_family(const std::vector<const KernelRow*>& rows, const KernelForm& form,
                        const KernelContext& context, const std::string& kernel_source,
                        const FitOptions& options);

// The form that models a kind of kernel.
const KernelForm& form_of(KernelKind kind);

// "h100_sxm.trtllm-1.3.0rc20.json"; "spec_sheet.json".
std::string profile_file_name(const KernelProfile& profile);

ErrorSummary summarise(std::vector<double> errors);

}  // namespace moesim
