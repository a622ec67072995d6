// Named documents: a catalog is a list of folders with NAME.json files.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace moesim {

// Names of all *.json in the folders, sorted, each once. Folders that do not exist are skipped.
std::vector<std::string> catalog_names(const std::vector<std::string>& folders);

// Path of NAME.json in the first folder that has it; empty if none has.
std::string find_in_catalog(const std::string& name, const std::vector<std::string>& folders);

// A name that several folders have: the first folder's file is used, the others are not seen.
struct ShadowedEntry {
  std::string name;
  std::string used;                 // path
  std::vector<std::string> unseen;  // paths
};

// Sorted by name. Whoever chose the folders tells people.
std::vector<ShadowedEntry> shadowed_entries(const std::vector<std::string>& folders);

// Resolves a reference: an inline object is returned as it is, a text ending in ".json" is a path,
// any other text a catalog name. `document_where` receives the prefix for messages about the
// document; `file`, if given, the path of the file that it stands in (empty for an inline object).
// Throws ConfigError(where, ...) that lists the names there are.
nlohmann::json resolve_reference(const nlohmann::json& value, const std::string& where,
                                 const std::vector<std::string>& folders,
                                 std::string& document_where, std::string* file = nullptr);

}  // namespace moesim
