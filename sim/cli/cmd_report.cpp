// moesim report: pictures of results, drawn by the Python package in
// notebooks/.
#include "sim/app/report.h"
#include "sim/cli/command_line.h"
#include "sim/cli/notebook_module.h"

namespace moesim {
namespace {

struct Options {
  std::vector<std::string> results;
  std::string png;
};

int report(const Options& options) {
  check_drawable(options.results);
  std::vector<std::string> arguments = options.results;
  arguments.insert(arguments.end(), {"--png", options.png});
  return run_notebook_module("moesim_view", arguments) == 0 ? 0 : 1;
}

}  // namespace

void add_report_command(CLI::App& app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* sub = app.add_subcommand("report", "pictures of results (needs python3-matplotlib)");
  sub->add_option("results", options->results,
                  "what moesim simulate, place or place rebalance print with --json")
      ->required()
      ->type_name("RESULT");
  sub->add_option("--png", options->png, "folder for the pictures")->required()->type_name("DIR");
  sub->footer(
      "Example:\n  moesim report contiguous.json round_robin.json "
      "--png plots/");
  sub->callback([options, &command] { command.run = [options] { return report(*options); }; });
}

}  // namespace moesim
