// moesim place: where should the experts go, and how far from optimal is that?
#include <chrono>
#include <cmath>
#include <csignal>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>

#include "placement/formats/formats.h"
#include "placement/optimise.h"
#include "placement/programs/bit_allocation.h"
#include "placement/replication/replicas.h"
#include "sim/cli/command_files.h"
#include "sim/cli/command_line.h"
#include "sim/cli/place_diff.h"
#include "sim/cli/place_rebalance.h"
#include "sim/cli/place_report.h"
#include "sim/cli/place_scenario.h"
#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/core/quantity_text.h"
#include "sim/engine/scenario_file.h"

namespace moesim {
namespace {

struct Options {
  CommonOptions common;
  std::string input;
  std::vector<std::string> overrides;
  std::string method = "auto";
  std::string comm_model;
  std::string split;
  std::vector<std::string> exports;  // FORMAT:FILE
  double time_limit_s = 0.0;
  std::int64_t seed = 1;
  std::optional<int> redundant;
  // Of scenarios.
  std::int64_t statistics_tokens = 16'384;
  double fit_share = 0.5;
  bool simulate = false;
  int batches = 4;
};

// Ctrl-C ends the search, not the program: the best placement so far is still printed. A second
// one ends the program.
std::atomic<bool> interrupted{false};
extern "C" void note_interrupt(int /*signal*/) {
  interrupted.store(true);
  std::signal(SIGINT, SIG_DFL);
}

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

SolveOptions solve_options(const Options& options, Clock::time_point start) {
  SolveOptions solve{.seed = static_cast<std::uint64_t>(options.seed),
                     .threads = options.common.threads};
  if (!std::isfinite(options.time_limit_s)) {
    throw ConfigError("--time-limit", "not a number of seconds");
  }
  if (options.time_limit_s > 0.0) {
    // What reading took is gone.
    solve.time_limit_s = options.time_limit_s;
    solve.already_spent_s = seconds_since(start);
  }
  solve.cancel = &interrupted;
  return solve;
}

struct Export {
  const PlacementFormatEntry* format;
  std::string path;
};

// Before hours of work, not after.
std::vector<Export> parse_exports(const std::vector<std::string>& texts,
                                  const std::vector<NamedFile>& inputs) {
  std::vector<Export> exports;
  std::vector<NamedFile> files;
  for (const std::string& text : texts) {
    const std::size_t colon = text.find(':');
    if (colon == std::string::npos || colon + 1 == text.size()) {
      throw ConfigError("--export", "\"" + text + "\" names no file; write FORMAT:FILE");
    }
    exports.push_back(
        {&find_placement_format(text.substr(0, colon), "--export"), text.substr(colon + 1)});
    files.push_back({"--export", exports.back().path});
  }
  check_outputs(files, inputs);
  return exports;
}

// Results first: an engine's format may not be able to say what was found, and nothing is lost
// then.
void finish(const Options& options, const std::vector<Export>& exports, const FormatOptions& format,
            const PlacementResult& result, const nlohmann::json& report) {
  if (interrupted.load()) {
    std::cerr << "moesim: interrupted; this is the best placement so far\n";
  }
  if (options.common.json) {
    std::cout << report.dump() << "\n";
  } else {
    std::cout << place_table(report);
    if (report.contains("generalisation")) {
      std::cout << "\n" << generalisation_table(report.at("generalisation"));
    }
    if (report.contains("verdict")) {
      std::cout << "\n" << verdict_table(report.at("verdict"));
    }
  }
  std::cout.flush();
  for (const Export& target : exports) {
    write_placement_file(target.path, *target.format, result.placement, format);
    std::cerr << target.format->name << ": " << target.path << "\n";
  }
}

int place_problem(const Options& options, nlohmann::json document, Clock::time_point start) {
  const std::vector<Export> exports =
      parse_exports(options.exports, files_of_document(options.input, document));
  if (!options.comm_model.empty()) {
    document["comm_model"] = options.comm_model;
  }
  if (!options.split.empty()) {
    document["split"] = options.split;
  }
  if (options.redundant) {
    document["redundant"] = *options.redundant;
  }
  if (options.simulate) {
    throw ConfigError("--simulate", "a problem file has no hardware to simulate; give a scenario");
  }
  const PlacementProblem problem = read_placement_problem(document, options.input);
  const PlacementResult result =
      optimise_placement(problem, options.method, solve_options(options, start));
  finish(options, exports, {.devices = problem.devices, .first_layer = 0, .layers = {}}, result,
         place_report(problem, result, static_cast<std::uint64_t>(options.seed)));
  return 0;
}

int place_scenario(const Options& options) {
  const auto [document, warnings] = read_scenario_document(options.input, options.overrides);
  print_warnings(warnings);
  const std::vector<Export> exports =
      parse_exports(options.exports, files_of_document(options.input, document));
  const CatalogFolders folders = catalog_folders(options.common.catalog);
  PlaceScenario scenario(
      document, {.input = options.input,
                 .folders = folders,
                 .threads = options.common.threads,
                 .comm_model = options.comm_model,
                 .tokens = options.statistics_tokens,
                 .fit_share = options.fit_share,
                 .redundant = options.redundant,
                 .split = options.split == "optimal" ? ReplicaSplit::optimal : ReplicaSplit::even});
  const PlacementProblem& problem = scenario.problem();
  // The limit is the search's: building the problem takes what its statistics take.
  PlacementResult result =
      optimise_placement(problem, options.method, solve_options(options, Clock::now()));
  // Engines keep at most one replica of an expert per device, and so does the simulation.
  replace_placement(problem, apart_where_possible(problem, result.placement), result);
  nlohmann::json report = place_report(problem, result, static_cast<std::uint64_t>(options.seed));
  report["provenance"] = scenario.provenance();
  if (const auto preferred = preferred_files(folders); !preferred.empty()) {
    report["provenance"]["preferred_files"] = preferred;
  }
  report["generalisation"] = scenario.generalisation(result.placement);
  if (options.simulate) {
    report["verdict"] = scenario.verdict(result.placement, options.batches);
  }
  const std::vector<int> layers = scenario.moe_layers();
  finish(options, exports,
         {.devices = problem.devices, .first_layer = layers.front(), .layers = layers}, result,
         report);
  return 0;
}

int place_bits(const Options& options, const nlohmann::json& document, Clock::time_point start) {
  if (!options.exports.empty() || options.simulate || options.redundant ||
      !options.comm_model.empty() || !options.split.empty()) {
    throw ConfigError(options.input,
                      "allots bits, and places nothing to export, replicate, split "
                      "or simulate; leave those options out");
  }
  const BitProblem problem = read_bit_problem(document, options.input);
  const SolverRun run(solve_options(options, start));
  const BitAllocation allocation = allocate_bits(problem, run);
  const nlohmann::json report = bit_allocation_json(problem, allocation);
  if (options.common.json) {
    std::cout << report.dump() << "\n";
    return 0;
  }
  Table table({"block", "bits per expert", "cost"});
  for (std::size_t b = 0; b < allocation.bits.size(); ++b) {
    std::string bits;
    for (const int width : allocation.bits[b]) {
      bits += (bits.empty() ? "" : " ") + std::to_string(width);
    }
    table.row({std::to_string(b), bits, format_number(allocation.cost[b])});
  }
  std::cout << table.text() << "objective " << format_number(allocation.objective)
            << (allocation.proven ? ", proven optimal" : ", not proven") << "; mean bits "
            << format_number(allocation.mean_bits) << "\n";
  return 0;
}

int place(const Options& options) {
  const Clock::time_point start = Clock::now();
  std::signal(SIGINT, note_interrupt);
  nlohmann::json document = read_json_file(options.input);
  for (const std::string& assignment : options.overrides) {
    apply_override(document, assignment);
  }
  if (is_bit_problem(document)) {
    return place_bits(options, document, start);
  }
  return is_placement_problem(document) ? place_problem(options, std::move(document), start)
                                        : place_scenario(options);
}

}  // namespace

void add_place_command(CLI::App& app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* sub =
      app.add_subcommand("place", "where the experts should go, with an optimality gap");
  sub->add_option("problem", options->input,
                  "problem file (with `loads`, or of kind `bits`) or scenario")
      ->type_name("FILE");
  sub->add_option("--method", options->method, "solver; `moesim catalog list` has them")
      ->capture_default_str();
  sub->add_option("--time-limit", options->time_limit_s,
                  "seconds of search (of reading, too, for problem files)")
      ->check(CLI::Range(0.001, 1e6));
  sub->add_option("--comm-model", options->comm_model, "none, interlayer or dispatch")
      ->check(CLI::IsMember({"none", "interlayer", "dispatch"}));
  sub->add_option("--redundant", options->redundant, "replicas per layer beyond one per expert")
      ->check(CLI::Range(0, 1 << 16));
  sub->add_option("--split", options->split, "of a load over replicas: even or optimal")
      ->check(CLI::IsMember({"even", "optimal"}));
  sub->add_option("--set", options->overrides, "override a field: /json/pointer=value")
      ->type_name("POINTER=VALUE");
  sub->add_option("--seed", options->seed, "of randomised methods")
      ->check(CLI::Range(std::int64_t{0}, std::numeric_limits<std::int64_t>::max()))
      ->capture_default_str();
  sub->add_option("--export", options->exports,
                  "write the placement: moesim, sglang, trtllm, vllm-ascend or eplb")
      ->type_name("FORMAT:FILE");
  const std::string scenarios = "Of scenarios";
  sub->add_flag("--simulate", options->simulate,
                "simulate steps under contiguous, EPLB and the found placement")
      ->group(scenarios);
  sub->add_option("--batches", options->batches, "steps to simulate of each part")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str()
      ->group(scenarios);
  sub->add_option("--statistics-tokens", options->statistics_tokens,
                  "tokens whose loads and traffic the solver sees")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 24))
      ->capture_default_str()
      ->group(scenarios);
  sub->add_option("--fit-share", options->fit_share,
                  "share of a trace's requests that statistics come from; the others are unseen")
      ->check(CLI::Range(0.01, 1.0))
      ->capture_default_str()
      ->group(scenarios);
  sub->footer(
      "Costs of a problem file have no unit unless it says so; those of a scenario are seconds of\n"
      "a step. The gap is how far from optimal the placement can be at most. Ctrl-C and the time\n"
      "limit end the search with the best placement so far.\n"
      "Examples:\n"
      "  moesim place problem.json --time-limit 10 --json > placement.json\n"
      "  moesim place sim/scenarios/deepseek_v3_decode_ep32_h800.json --export "
      "sglang:experts.json\n"
      "  moesim place sim/scenarios/deepseek_v2_lite_decode_ep8_h100.json --simulate \\\n"
      "               --set /workload/routing=my.moetrace\n"
      "  moesim place diff before.json after.json\n"
      "  moesim report placement.json --png plots/");
  options->common.add_json(*sub);
  options->common.add_catalog(*sub);
  options->common.add_threads(*sub);
  sub->require_subcommand(0, 1);
  add_place_diff(*sub, command);
  add_place_rebalance(*sub, command);
  sub->callback([sub, options, &command] {
    if (!sub->get_subcommands().empty()) {
      return;  // its own callback came first and has set what to run
    }
    if (options->input.empty()) {
      throw CLI::RequiredError("problem");
    }
    command.run = [options] { return place(*options); };
  });
}

}  // namespace moesim
