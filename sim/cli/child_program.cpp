// Other programs that a command starts.
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <system_error>

#include "sim/cli/command_line.h"

extern char** environ;

namespace moesim {

int run_program(std::vector<std::string> words, const std::vector<std::string>& variables) {
  std::vector<char*> arguments;
  for (std::string& word : words) {
    arguments.push_back(word.data());
  }
  arguments.push_back(nullptr);
  std::vector<std::string> all = variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    const std::string_view name = text.substr(0, text.find('='));
    if (std::ranges::none_of(variables, [&](const std::string& own) {
          return std::string_view(own).substr(0, own.find('=')) == name;
        })) {
      all.emplace_back(text);
    }
  }
  std::vector<char*> environment;
  for (std::string& variable : all) {
    environment.push_back(variable.data());
  }
  environment.push_back(nullptr);
  // What this process ignores (SIGPIPE) is none of the other program's business.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t usual;
  sigemptyset(&usual);
  sigaddset(&usual, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &usual);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  pid_t child = 0;
  const int failed =
      posix_spawn(&child, arguments[0], nullptr, &attributes, arguments.data(), environment.data());
  posix_spawnattr_destroy(&attributes);
  if (failed != 0) {
    throw std::system_error(failed, std::generic_category(), "cannot start " + words[0]);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

}  // namespace moesim
