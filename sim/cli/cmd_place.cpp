// moesim place: where should the experts go, and how far from optimal is that?
#include <chrono>
#include <csignal>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>

#include "sim/app/place.h"
#include "sim/cli/command_line.h"
#include "sim/cli/place_diff.h"
#include "sim/cli/place_rebalance.h"
#include "sim/cli/place_table.h"
#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/core/quantity_text.h"

namespace moesim {
namespace {

struct Options {
  CommonOptions common;
  PlaceOptions task;
  std::string input;
  std::vector<std::string> overrides;
  std::string comm_model;
  std::string split;
  std::vector<std::string> exports;  // FORMAT:FILE
  std::int64_t seed = 1;
};

// Ctrl-C ends the search, not the program: the best placement so far is still
// printed. A second one ends the program.
std::atomic<bool> interrupted{false};
extern "C" void note_interrupt(int /*signal*/) {
  interrupted.store(true);
  std::signal(SIGINT, SIG_DFL);
}

using Clock = std::chrono::steady_clock;

std::vector<PlacementExport> parse_exports(const std::vector<std::string>& texts) {
  std::vector<PlacementExport> exports;
  for (const std::string& text : texts) {
    const std::size_t colon = text.find(':');
    if (colon == std::string::npos || colon + 1 == text.size()) {
      throw ConfigError("--export", "\"" + text + "\" names no file; write FORMAT:FILE");
    }
    exports.push_back({text.substr(0, colon), text.substr(colon + 1)});
  }
  return exports;
}

// Results first: an engine's format may not be able to say what was found, and
// nothing is lost then.
void finish(const Options& options, const PlaceOptions& task, const PlaceResult& result) {
  if (interrupted.load()) {
    std::cerr << "moesim: interrupted; this is the best placement so far\n";
  }
  const nlohmann::json report = to_json(result);
  std::cout << (options.common.json ? report.dump() + "\n" : place_text(report));
  std::cout.flush();
  for (const PlacementExport& target : task.exports) {
    export_placement(result, target);
    std::cerr << target.format << ": " << target.path << "\n";
  }
}

void print_bits(const Options& options, const PlaceBitsResult& result) {
  if (options.common.json) {
    std::cout << to_json(result).dump() << "\n";
    return;
  }
  const BitAllocation& allocation = result.allocation;
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
}

PlaceOptions task_of(const Options& options) {
  PlaceOptions task = options.task;
  task.name = options.input;
  if (!options.comm_model.empty()) {
    task.comm_model = parse_comm_model(options.comm_model);
  }
  if (!options.split.empty()) {
    task.split = options.split == "optimal" ? ReplicaSplit::optimal : ReplicaSplit::even;
  }
  task.exports = parse_exports(options.exports);
  task.seed = static_cast<std::uint64_t>(options.seed);
  task.threads = options.common.threads;
  task.cancel = &interrupted;
  return task;
}

int run(const Options& options) {
  const Clock::time_point start = Clock::now();
  std::signal(SIGINT, note_interrupt);
  const nlohmann::json read = read_json_file(options.input);
  nlohmann::json document = read;
  for (const std::string& assignment : options.overrides) {
    apply_override(document, assignment);
  }
  PlaceOptions task = task_of(options);
  const PlaceKind kind = place_kind(document);
  if (kind == PlaceKind::scenario) {
    ScenarioDocument scenario = scenario_document(read, options.input, options.overrides);
    print_warnings(scenario.warnings);
    document = std::move(scenario.json);
    task.catalogs = catalogs_of(options.common);
  }
  task.already_spent_s = std::chrono::duration<double>(Clock::now() - start).count();
  if (kind == PlaceKind::bits) {
    print_bits(options, place_bits(document, task));
    return 0;
  }
  std::optional<ProgressBar> progress;
  task.progress = [&progress](double share) {
    if (!progress) {
      progress.emplace("simulating");
    }
    progress->show(share);
  };
  const PlaceResult result = place(std::move(document), task);
  progress.reset();
  if (result.scenario) {
    print_warnings(result.scenario->warnings);
  }
  finish(options, task, result);
  return 0;
}

}  // namespace

void add_place_command(CLI::App& app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* sub =
      app.add_subcommand("place", "where the experts should go, with an optimality gap");
  sub->add_option("problem", options->input,
                  "problem file (with `loads`, or of kind `bits`) or scenario")
      ->type_name("FILE");
  sub->add_option("--method", options->task.method, "solver; `moesim catalog list` has them")
      ->capture_default_str();
  sub->add_option("--time-limit", options->task.time_limit_s,
                  "seconds of search (of reading, too, for problem files)")
      ->check(CLI::Range(0.001, 1e6));
  sub->add_option("--comm-model", options->comm_model, "none, interlayer or dispatch")
      ->check(CLI::IsMember({"none", "interlayer", "dispatch"}));
  sub->add_option("--redundant", options->task.redundant,
                  "replicas per layer beyond one per expert")
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
  sub->add_flag("--simulate", options->task.simulate,
                "simulate steps under contiguous, EPLB and the found placement")
      ->group(scenarios);
  sub->add_option("--batches", options->task.batches, "steps to simulate of each part")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str()
      ->group(scenarios);
  sub->add_option("--statistics-tokens", options->task.statistics_tokens,
                  "tokens whose loads and traffic the solver sees")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 24))
      ->capture_default_str()
      ->group(scenarios);
  sub->add_option("--fit-share", options->task.fit_share,
                  "share of a trace's requests that statistics come from; the "
                  "others are unseen")
      ->check(CLI::Range(0.01, 1.0))
      ->capture_default_str()
      ->group(scenarios);
  sub->footer(
      "Costs of a problem file have no unit unless it says so; those of a "
      "scenario are seconds of\n"
      "a step. The gap is how far from optimal the placement can be at most. "
      "Ctrl-C and the time\n"
      "limit end the search with the best placement so far.\n"
      "Examples:\n"
      "  moesim place problem.json --time-limit 10 --json > placement.json\n"
      "  moesim place sim/scenarios/deepseek_v3_decode_ep32_h800.json --export "
      "sglang:experts.json\n"
      "  moesim place sim/scenarios/deepseek_v2_lite_decode_ep8_h100.json "
      "--simulate \\\n"
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
    command.run = [options] { return run(*options); };
  });
}

}  // namespace moesim
