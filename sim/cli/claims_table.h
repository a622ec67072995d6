// Verdicts on claims as text for people.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace moesim {

// Of the document of results_json.
std::string claims_table(const nlohmann::json& results);

}  // namespace moesim
