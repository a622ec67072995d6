// Which files a command reads and writes, checked before the work; and stdout, checked after it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "sim/core/output_file.h"

namespace moesim {

// A JSON file and every file that a text in it names: descriptions, traces (also with a range,
// "a.moetrace[0:0.5]"), placements. `document`: with overrides.
std::vector<NamedFile> files_of_document(const std::string& path, const nlohmann::json& document);

// A standard stream that was closed would give its number to the first file that is opened, and
// what is printed would go there. Printing to a closed stdout fails instead.
void reserve_standard_streams();

// `status`, or that of a failed run if not all of stdout could be written (a full disk, a reader
// that has gone), which stderr then says.
int with_stdout_checked(int status);

}  // namespace moesim
