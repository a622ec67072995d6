// Fits kernel profiles to a folder of measurements.
#pragma once

#include <string>
#include <vector>

#include "calibrate/fit/fit_family.h"
#include "sim/core/progress.h"

namespace moesim {

// One profile per (system, framework, version) found below `dir`, and the spec sheet ("any",
// framework spec_sheet) with the median roofline coefficients of all families. Deterministic to
// the last bit, whatever options.threads; `progress` is told by one thread at a time. Throws
// ConfigError for damaged files or when nothing can be fitted.
std::vector<KernelProfile> fit_profiles(const std::string& dir, const DeviceLookup& devices,
                                        const KernelFitOptions& options,
                                        const Progress& progress = {});

// "h100_sxm.trtllm-1.3.0rc20.json"; "spec_sheet.json".
std::string profile_file_name(const KernelProfile& profile);

}  // namespace moesim
