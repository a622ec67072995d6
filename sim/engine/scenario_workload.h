// The `workload` section of a scenario.
#pragma once

#include "sim/core/config.h"
#include "sim/engine/scenario.h"

namespace moesim {

// Throws ConfigError. Paths of files are taken as they are.
Workload parse_workload(ConfigObject object);

}  // namespace moesim
