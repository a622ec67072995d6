// A plan's document as text for people.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace moesim {

// Of to_json(TrainPlan).
std::string plan_text(const nlohmann::json& plan);

}  // namespace moesim
