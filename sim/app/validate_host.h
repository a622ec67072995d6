// What `moesim validate host` does: small Mixture-of-Experts layers really run on this machine,
// beside what the simulator says of them from microbenchmarks alone.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "calibrate/cpu/interrupt.h"
#include "calibrate/cpu/validate_host.h"

namespace moesim {

struct ValidateHostOptions {
  HostValidationOptions run = {};  // the scratch folder must be given
  std::string profile = {};  // file of calibrate_host's profile; empty: run.profile, or measured
  std::string save = {};     // folder that save_host_validation will be given; empty: none
  Progress progress = {};
};

// Measures for some minutes, at most for run.budget_s and its preparations. Throws ConfigError,
// also for a folder that could not be saved to, std::system_error, and Interrupted.
HostValidation validate_host(const ValidateHostOptions& options);

// {"groups": [...], "skipped": [...], "configurations": [...], "noise": {...}, "verdict": {...},
// "host": {...}}.
nlohmann::json to_json(const HostValidation& result);

// Results, the profile if there is one and, where it was measured, its tables (FAMILY.csv).
void save_host_validation(const HostValidation& result, const std::string& folder);

}  // namespace moesim
