#include "sim/engine/scenario_file.h"

#include "hardware/cluster.h"
#include "sim/core/config.h"
#include "workloads/sources/routing.h"

namespace moesim {
namespace {

void append(std::vector<std::string>& list, std::vector<std::string> more) {
  for (std::string& text : more) {
    list.push_back(std::move(text));
  }
}

}  // namespace

std::span<const PathKey> scenario_path_keys() {
  static const std::vector<PathKey> keys = [] {
    std::vector<PathKey> all{{"/hardware", json_file_name},   {"/hardware/cluster", json_file_name},
                             {"/model", json_file_name},      {"/workload/file", whole_text},
                             {"/placement/file", whole_text}, {"/workload/routing", routing_path}};
    for (const PathKey& key : cluster_path_keys()) {
      all.push_back({"/hardware" + key.pointer, key.path_in});
    }
    return all;
  }();
  return keys;
}

ScenarioDocument read_scenario_document(const std::string& path,
                                        std::span<const std::string> overrides) {
  return scenario_document(read_json_file(path), path, overrides);
}

ScenarioDocument scenario_document(nlohmann::json json, const std::string& path,
                                   std::span<const std::string> overrides) {
  ScenarioDocument document{.json = std::move(json), .warnings = {}};
  append(document.warnings, rebase_paths(document.json, path, scenario_path_keys()));
  for (const std::string& assignment : overrides) {
    apply_override(document.json, assignment);
  }
  return document;
}

void apply_override_of(const std::string& file, const std::string& assignment,
                       ScenarioDocument& document) {
  nlohmann::json alone;  // the value, where it will be
  apply_override(alone, assignment);
  append(document.warnings, rebase_paths(alone, file, scenario_path_keys()));
  const std::string pointer = assignment.substr(0, assignment.find('='));
  apply_override(document.json,
                 pointer + "=" + alone.at(nlohmann::json::json_pointer(pointer)).dump());
}

Scenario parse_scenario(const ScenarioDocument& document, const std::string& name) {
  Scenario scenario = parse_scenario(document.json, name);
  scenario.warnings = document.warnings;
  return scenario;
}

}  // namespace moesim
