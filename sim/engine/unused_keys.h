// Keys of a scenario that are right in themselves and say nothing about this model and cluster.
#pragma once

#include <string>
#include <vector>

#include "sim/engine/scenario.h"

namespace moesim {

// What decides whether a key matters.
struct KeyUse {
  bool routed_experts = true;  // the model has some
  int expert_ranks = 1;        // that share a copy of all experts (etp counted once)
};

// For the report's warnings: one sentence per reason, with the JSON pointers of the keys that were
// given. Scenarios that leave them to their defaults are not warned.
std::vector<std::string> unused_key_warnings(const Scenario& scenario, const KeyUse& use);

}  // namespace moesim
