// The report of a training iteration as tables for people.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace moesim {

// `report`: to_json(TrainingResult), with `host`.
std::string training_table(const nlohmann::json& report);

}  // namespace moesim
