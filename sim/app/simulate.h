// What `moesim simulate` does: typed in, typed out. The command line and other front ends only read
// arguments and print.
#pragma once

#include <array>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/engine/library.h"
#include "sim/engine/results/law_explanation.h"
#include "sim/engine/results/step_report.h"
#include "sim/engine/scenario_file.h"

namespace moesim {

enum class BackendKind { fast, simgrid };

struct SimulateOptions {
  BackendKind backend = BackendKind::fast;
  bool crosscheck = false;  // run the other backend on the last step as well
  bool timeline = false;
  bool explain = false;  // which law answered for each operation, and the runners-up
  int threads = 1;       // that draw and count tokens; results do not depend on it
  std::function<void(double)> progress = {};  // share of the steps that are done; may be empty
  // Told before a run that takes a while why it does; may be empty.
  std::function<void(const std::string&)> notice = {};
};

// The largest difference of any task's end between the two backends.
struct CrosscheckReport {
  std::array<std::string_view, 2> backends;  // the one that answers first
  std::size_t tasks = 0;
  double max_absolute_s = 0.0;
  double max_relative = 0.0;
  bool agree = false;  // within 1e-9 relative or 2 ps
};

struct SimulateResult {
  StepReport report;
  nlohmann::json scenario;  // effective: with every default and reference filled in
  HostTimes host;
  std::optional<CrosscheckReport> crosscheck;
  std::string timeline;  // Chrome/Perfetto trace JSON; empty unless asked for
  std::optional<std::vector<LawExplanation>> explanations;
};

// All steps of the scenario. Throws ConfigError.
SimulateResult simulate(Scenario scenario, const Library& library, const SimulateOptions& options);

// Independent scenarios on so many threads, in order. Throws what the first of them throws.
std::vector<StepReport> simulate_all(std::span<const Scenario> scenarios, const Library& library,
                                     int threads);

// The report document without `host`.
nlohmann::json to_json(const SimulateResult& result);

}  // namespace moesim
