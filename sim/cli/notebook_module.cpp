#include "sim/cli/notebook_module.h"

#include <filesystem>

#include "sim/cli/command_line.h"

namespace moesim {

int run_notebook_module(const std::string& module, const std::vector<std::string>& arguments) {
  std::vector<std::string> words{"/usr/bin/python3", "-m", module};
  words.insert(words.end(), arguments.begin(), arguments.end());
  const auto package = std::filesystem::path(data_root()) / "notebooks";
  return run_program(std::move(words), {"PYTHONPATH=" + package.string()});
}

}  // namespace moesim
