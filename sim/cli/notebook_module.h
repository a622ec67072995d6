// Starts the Python modules in notebooks/ that draw pictures.
#pragma once

#include <string>
#include <vector>

namespace moesim {

// `/usr/bin/python3 -m MODULE ARGUMENTS` with notebooks/ on its path and its output on ours.
// Returns its exit status. Throws std::system_error when it cannot be started.
int run_notebook_module(const std::string& module, const std::vector<std::string>& arguments);

}  // namespace moesim
