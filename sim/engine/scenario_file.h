// Scenarios as files: whose paths are relative to what.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "sim/core/relative_paths.h"
#include "sim/engine/scenario.h"

namespace moesim {

// The keys of a scenario whose text may be a path.
std::span<const PathKey> scenario_path_keys();

// A document whose paths lead from the working directory.
struct ScenarioDocument {
  nlohmann::json json;
  std::vector<std::string> warnings;
};

// Paths in the file are relative to it; those of the overrides ("/json/pointer=value") are relative
// to the working directory. Throws ConfigError.
ScenarioDocument read_scenario_document(const std::string& path,
                                        std::span<const std::string> overrides);

// The same of what has been read from `path` already, which may be a pipe.
ScenarioDocument scenario_document(nlohmann::json json, const std::string& path,
                                   std::span<const std::string> overrides);

// Applies an override that stands in `file`: its paths are relative to that. Throws ConfigError.
void apply_override_of(const std::string& file, const std::string& assignment,
                       ScenarioDocument& document);

// parse_scenario, with the document's warnings. Throws ConfigError.
Scenario parse_scenario(const ScenarioDocument& document, const std::string& name);

}  // namespace moesim
