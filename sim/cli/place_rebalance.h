// moesim place rebalance: what following drifting loads gains and costs.
#pragma once

#include "sim/cli/command_line.h"

namespace moesim {

// Below `place`.
void add_place_rebalance(CLI::App& place, Command& command);

}  // namespace moesim
