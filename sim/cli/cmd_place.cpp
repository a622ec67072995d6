// moesim place: where should the experts go, and how far from optimal is that?
#include <csignal>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>

#include "placement/optimise.h"
#include "sim/cli/command_line.h"
#include "sim/cli/place_diff.h"
#include "sim/cli/place_rebalance.h"
#include "sim/cli/place_report.h"
#include "sim/core/config.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

struct Options {
  CommonOptions common;
  std::string input;
  std::vector<std::string> overrides;
  std::string method = "auto";
  std::string comm_model;
  std::string split;
  double time_limit_s = 0.0;
  std::uint64_t seed = 1;
};

// Ctrl-C ends the search, not the program: the best placement so far is still printed. A second
// one ends the program.
std::atomic<bool> interrupted{false};
extern "C" void note_interrupt(int /*signal*/) {
  interrupted.store(true);
  std::signal(SIGINT, SIG_DFL);
}

SolveOptions solve_options(const Options& options) {
  SolveOptions solve{.seed = options.seed, .threads = options.common.threads};
  if (options.time_limit_s > 0.0) {
    solve.time_limit_s = options.time_limit_s;
  }
  solve.cancel = &interrupted;
  return solve;
}

nlohmann::json read_input(const Options& options) {
  nlohmann::json document = read_json_file(options.input);
  for (const std::string& assignment : options.overrides) {
    apply_override(document, assignment);
  }
  if (!options.comm_model.empty()) {
    document["comm_model"] = options.comm_model;
  }
  if (!options.split.empty()) {
    document["split"] = options.split;
  }
  return document;
}

int place(const Options& options) {
  std::signal(SIGINT, note_interrupt);
  const PlacementProblem problem = read_placement_problem(read_input(options), options.input);
  const PlacementResult result =
      optimise_placement(problem, options.method, solve_options(options));
  const nlohmann::json report = place_report(problem, result, options.seed);
  if (interrupted.load()) {
    std::cerr << "moesim: interrupted; this is the best placement so far\n";
  }
  std::cout << (options.common.json ? report.dump() + "\n" : place_table(report));
  return 0;
}

}  // namespace

void add_place_command(CLI::App& app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* sub =
      app.add_subcommand("place", "where the experts should go, with an optimality gap");
  sub->add_option("problem", options->input, "problem file (with `loads`) or scenario")
      ->type_name("FILE");
  sub->add_option("--method", options->method, "solver; `moesim catalog list` has them")
      ->capture_default_str();
  sub->add_option("--time-limit", options->time_limit_s,
                  "seconds; the best placement by then is printed")
      ->check(CLI::Range(0.001, 1e6));
  sub->add_option("--comm-model", options->comm_model, "none, interlayer or dispatch")
      ->check(CLI::IsMember({"none", "interlayer", "dispatch"}));
  sub->add_option("--split", options->split, "of a load over replicas: even or optimal")
      ->check(CLI::IsMember({"even", "optimal"}));
  sub->add_option("--set", options->overrides, "override a field: /json/pointer=value")
      ->type_name("POINTER=VALUE");
  sub->add_option("--seed", options->seed, "of randomised methods")->capture_default_str();
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
