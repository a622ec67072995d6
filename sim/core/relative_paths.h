// Paths in a file are relative to that file.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moesim {

// The part of a text that is a path; empty: it names something else.
using PathIn = std::string_view (*)(std::string_view text);
std::string_view whole_text(std::string_view text);
std::string_view json_file_name(std::string_view text);  // a text ending in ".json", else a name

// A key of a document whose text may be a path. In the JSON pointer, "*" is every element.
struct PathKey {
  std::string pointer;
  PathIn path_in;
};

// Rewrites the paths of a document read from `file`, so that they lead from the working directory
// to what they name. Where only the working directory has such a file, the path stays; one message
// each says so. Absolute paths stay, and so does what is no text; those of a pipe lead from the
// working directory already. O(keys).
std::vector<std::string> rebase_paths(nlohmann::json& document, const std::string& file,
                                      std::span<const PathKey> keys);

}  // namespace moesim
