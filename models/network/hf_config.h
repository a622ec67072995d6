// Hugging Face config.json -> a model document of our schema.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace moesim {

// An object with "model_type" or "architectures".
bool is_hf_config(const nlohmann::json& document);

// The "model_type"s that can be read.
std::vector<std::string_view> hf_model_types();

// Throws ConfigError(where + pointer, ...) for an unknown architecture, for a missing or wrong
// value, and for keys that look like a shape which the reader would ignore.
nlohmann::json model_of_hf_config(const nlohmann::json& config, const std::string& where);

// JSON text in which NaN, Infinity and -Infinity, which Python writes, are null. Positions of later
// faults on a line move.
std::string without_python_numbers(std::string_view text);

}  // namespace moesim
