// moesim place: what belongs to placements.
#include "sim/cli/command_line.h"
#include "sim/cli/place_diff.h"
#include "sim/cli/place_rebalance.h"

namespace moesim {

void add_place_command(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("place", "placements of experts: diff, rebalance");
  sub->require_subcommand(1);
  add_place_diff(*sub, command);
  add_place_rebalance(*sub, command);
}

}  // namespace moesim
