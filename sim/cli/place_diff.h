// moesim place diff: what moves between two placements.
#pragma once

#include "sim/cli/command_line.h"

namespace moesim {

// Below `place`.
void add_place_diff(CLI::App& place, Command& command);

}  // namespace moesim
