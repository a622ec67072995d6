// Which law answered for every operation of a step, and which others might have.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "sim/engine/lowered_step.h"
#include "sim/engine/simulation.h"

namespace moesim {

struct LawExplanation {
  std::string family;
  OpShape shape;                   // the step's longest kernel of the family
  std::int64_t kernels = 0;        // that the step runs of it
  std::vector<LawOption> options;  // the law that answers, then the runners-up
};

// Kernels of the step, by family name. Reads every profile that has a law for one of them.
std::vector<LawExplanation> explain_laws(const KernelModel& kernels, const LoweredStep& step);

nlohmann::json explanations_json(const std::vector<LawExplanation>& explanations);

}  // namespace moesim
