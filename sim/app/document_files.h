// Which files a document names, so that no output takes the place of one.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "sim/core/output_file.h"

namespace moesim {

// A JSON file and every file that a text in it names: descriptions, traces (also with a range,
// "a.moetrace[0:0.5]"), placements. `document`: with overrides.
std::vector<NamedFile> files_of_document(const std::string& path, const nlohmann::json& document);

}  // namespace moesim
