// Training runs of Megatron-LM as scenarios.
#pragma once

#include <span>
#include <string>

#include "sim/engine/scenario_file.h"

namespace moesim {

// The file's arguments (a launch script, words or YAML; sim/training/README.md) and the overrides,
// which must say the hardware: "/hardware/cluster=NAME", with "/hardware/nodes" and
// "/hardware/devices" as far as the arguments have no --world-size. Warnings list the arguments
// that nothing reads. Throws ConfigError.
ScenarioDocument megatron_document(const std::string& path, std::span<const std::string> overrides);

}  // namespace moesim
