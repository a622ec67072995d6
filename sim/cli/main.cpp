// The command line: the only place that prints and decides on exit codes.
#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>
#include <new>
#include <system_error>

#include "sim/cli/command_line.h"
#include "sim/cli/standard_streams.h"
#include "sim/core/error.h"

namespace {

enum Exit { done = 0, run_failed = 1, bad_input = 2, internal_error = 3 };

int guarded(const moesim::Command& command) {
  try {
    return command.run();
  } catch (const moesim::ConfigError& error) {
    std::cerr << "moesim: " << error.what() << "\n";
    return bad_input;
  } catch (const std::system_error& error) {
    std::cerr << "moesim: " << error.what() << "\n";
    return run_failed;
  } catch (const std::bad_alloc&) {
    std::cerr << "moesim: out of memory\n";
    return run_failed;
  } catch (const std::exception& error) {
    std::cerr << "moesim: internal error, please report it with the command line: " << error.what()
              << "\n";
    return internal_error;
  }
}

}  // namespace

int main(int argc, char** argv) {
  moesim::reserve_standard_streams();
  CLI::App app{"moesim: how fast, how big, how much, and where should the experts go?"};
  app.name("moesim");
  app.set_version_flag("--version", "moesim 0.1.0");
  app.require_subcommand(1);
  app.footer(
      "Examples:\n"
      "  moesim simulate sim/scenarios/deepseek_v3_decode_ep32_h800.json\n"
      "  moesim simulate SCENARIO --set /placement/policy=round_robin --json > result.json\n"
      "  moesim report result.json --png plots/\n"
      "  moesim reproduce --claims claims.json\n"
      "  moesim catalog list\n"
      "Every command has --help. Results go to stdout, diagnostics to stderr.\n"
      "Exit status: 0 done, 1 run failed, 2 bad input, 3 internal error.");
  moesim::Command command;
  moesim::add_simulate_command(app, command);
  moesim::add_trace_command(app, command);
  moesim::add_validate_command(app, command);
  moesim::add_calibrate_command(app, command);
  moesim::add_place_command(app, command);
  moesim::add_plan_command(app, command);
  moesim::add_report_command(app, command);
  moesim::add_reproduce_command(app, command);
  moesim::add_catalog_command(app, command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const bool helped = app.exit(error, std::cout, std::cerr) == 0;
    return moesim::with_stdout_checked(helped ? done : bad_input);
  }
  return moesim::with_stdout_checked(guarded(command));
}
