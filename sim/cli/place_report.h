// What `moesim place` prints: one JSON document, or a table for people.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "placement/optimise.h"

namespace moesim {

// The keys of DESIGN's contract (method, objective, lower_bound, gap, proven_optimal, wall_s,
// placement [layer][expert] -> device, replicas [layer][expert] -> devices where there are any) and
// slots, parts, bounds, seed, history (which depends on time and threads, as wall_s does), and heat
// and traffic matrices beside the contiguous placement's.
nlohmann::json place_report(const PlacementProblem& problem, const PlacementResult& result,
                            std::uint64_t seed);
std::string place_table(const nlohmann::json& report);

}  // namespace moesim
