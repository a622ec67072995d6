// A step's report as text for people.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace moesim {

// What hides which communication; empty where everything runs one after the other. For reports of
// steps and of training iterations.
std::string hidden_table(const nlohmann::json& report);

std::string step_table(const nlohmann::json& report);

// `explain` of a report.
std::string explanation_table(const nlohmann::json& explanations);

}  // namespace moesim
