// Options of functions that programs call: numbers that the command line would have refused.
#pragma once

#include <string>

#include "sim/core/error.h"
#include "sim/core/quantity_text.h"

namespace moesim {

// Throws ConfigError that names the option as the command line does unless low <= value <= high;
// also for what is no number.
inline void check_option(const std::string& option, double value, double low, double high) {
  if (!(value >= low && value <= high)) {
    throw ConfigError(option + " " + format_number(value),
                      "is outside of " + format_number(low) + " to " + format_number(high));
  }
}

}  // namespace moesim
