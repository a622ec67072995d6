// moesim report: pictures of results, drawn by the Python package in notebooks/.
#include "sim/cli/command_line.h"
#include "sim/core/config.h"
#include "sim/core/error.h"

#include <spawn.h>
#include <sys/wait.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

extern char** environ;

namespace moesim {
namespace {

struct Options {
  std::vector<std::string> results;
  std::string png;
};

// Runs a program with its output on ours. Throws std::system_error when it cannot be started.
int run_program(std::vector<std::string> words, const std::string& python_path) {
  std::vector<char*> arguments;
  for (std::string& word : words) {
    arguments.push_back(word.data());
  }
  arguments.push_back(nullptr);
  std::vector<std::string> variables{"PYTHONPATH=" + python_path};
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (!std::string_view(*variable).starts_with("PYTHONPATH=")) {
      variables.emplace_back(*variable);
    }
  }
  std::vector<char*> environment;
  for (std::string& variable : variables) {
    environment.push_back(variable.data());
  }
  environment.push_back(nullptr);
  pid_t child = 0;
  const int failed =
      posix_spawn(&child, arguments[0], nullptr, nullptr, arguments.data(), environment.data());
  if (failed != 0) {
    throw std::system_error(failed, std::generic_category(), "cannot start " + words[0]);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int report(const Options& options) {
  for (const std::string& result : options.results) {
    const nlohmann::json document = read_json_file(result);
    if (!document.is_object() || document.value("schema", "") != "moesim.report/1") {
      throw ConfigError(result, "is no report; make one with: moesim simulate SCENARIO --json");
    }
  }
  std::vector<std::string> words{"/usr/bin/python3", "-m", "moesim_view"};
  words.insert(words.end(), options.results.begin(), options.results.end());
  words.insert(words.end(), {"--png", options.png});
  const auto package = std::filesystem::path(data_root()) / "notebooks";
  return run_program(std::move(words), package.string()) == 0 ? 0 : 1;
}

}  // namespace

void add_report_command(CLI::App& app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* sub = app.add_subcommand("report", "pictures of results (needs python3-matplotlib)");
  sub->add_option("results", options->results, "reports of moesim simulate --json")
      ->required()
      ->type_name("RESULT");
  sub->add_option("--png", options->png, "folder for the pictures")->required()->type_name("DIR");
  sub->footer("Example:\n  moesim report contiguous.json round_robin.json --png plots/");
  sub->callback([options, &command] { command.run = [options] { return report(*options); }; });
}

}  // namespace moesim
