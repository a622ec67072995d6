// What a claim's run may be: a simulated step, or one of the smaller questions that papers answer.
// Each kind is one file; run_kinds.cpp holds the table.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/engine/library.h"
#include "sim/engine/scenario_file.h"

namespace moesim {

struct RunReport {
  std::shared_ptr<const nlohmann::json> report;  // an object
  std::vector<std::string> warnings{};           // of how its files were read
};

struct RunKind {
  std::string_view name;
  std::string_view summary;
  // Throws ConfigError("name#/pointer", ...).
  RunReport (*run)(const ScenarioDocument& document, const std::string& name,
                   const Library& library);
};

std::span<const RunKind> run_kinds();
std::vector<std::string_view> run_kind_names();
const RunKind& run_kind(std::string_view name);  // of the table

// A step or training iteration of a scenario; its report as `moesim simulate --json` prints it.
RunReport run_simulate(const ScenarioDocument& document, const std::string& name,
                       const Library& library);
// A communication algorithm over a cluster.
RunReport run_communication(const ScenarioDocument& document, const std::string& name,
                            const Library& library);
// Equal flows over a leaf-spine fabric.
RunReport run_flows(const ScenarioDocument& document, const std::string& name,
                    const Library& library);
// A chunked chain of phases on streams, over a grid of parameters (layer_grid.h).
RunReport run_layer_grid(const ScenarioDocument& document, const std::string& name,
                         const Library& library);
// A pipeline whose micro-batches go their own ways.
RunReport run_paths(const ScenarioDocument& document, const std::string& name,
                    const Library& library);
// What a model holds.
RunReport run_model(const ScenarioDocument& document, const std::string& name,
                    const Library& library);

}  // namespace moesim
