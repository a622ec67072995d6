// Parts of a scenario's sections that steps and training iterations read alike.
#pragma once

#include <string_view>

#include "sim/core/config.h"
#include "sim/engine/scenario.h"

namespace moesim {

// Iterations also cut sequences (cp) and layers (pp, vpp), and slice experts over any ranks.
enum class RankCuts : bool { step, iteration };

// Throws ConfigError. Keys of its own are the caller's to read, and unknown ones to reject.
Parallelism parse_parallelism(ConfigObject& object, RankCuts cuts);

// all_to_all, all_to_all_link_rate, kernels, collectives, dispatch, combine, precision of the
// `policy` section. Throws ConfigError.
void parse_kernels_and_exchanges(ConfigObject& object, std::string_view usual_all_to_all,
                                 Policy& policy);

}  // namespace moesim
