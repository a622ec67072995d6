// What `moesim report` draws; drawing is the Python module's in notebooks/.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace moesim {

// Has moesim_view pictures for what this document says?
bool is_drawable(const nlohmann::json& document);

// Throws ConfigError that names the first file of which there is no picture.
void check_drawable(const std::vector<std::string>& paths);

}  // namespace moesim
