// A placement's document as text for people.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace moesim {

// Of to_json(PlaceResult).
std::string place_text(const nlohmann::json& report);

}  // namespace moesim
