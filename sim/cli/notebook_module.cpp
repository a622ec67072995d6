#include "sim/cli/notebook_module.h"

#include <spawn.h>
#include <sys/wait.h>

#include <filesystem>
#include <string_view>
#include <system_error>

#include "sim/cli/command_line.h"

extern char** environ;

namespace moesim {
namespace {

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

}  // namespace

int run_notebook_module(const std::string& module, const std::vector<std::string>& arguments) {
  std::vector<std::string> words{"/usr/bin/python3", "-m", module};
  words.insert(words.end(), arguments.begin(), arguments.end());
  const auto package = std::filesystem::path(data_root()) / "notebooks";
  return run_program(std::move(words), package.string());
}

}  // namespace moesim
