// A step's report as text for people.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace moesim {

std::string step_table(const nlohmann::json& report);

}  // namespace moesim
