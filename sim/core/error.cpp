#include "sim/core/error.h"

namespace moesim {

ConfigError::ConfigError(std::string_view where, std::string_view what_is_wrong)
    : std::runtime_error(std::string(where) + ": " + std::string(what_is_wrong)), where_(where) {}

}  // namespace moesim
