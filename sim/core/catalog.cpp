#include "sim/core/catalog.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "sim/core/config.h"
#include "sim/core/error.h"

namespace moesim {

namespace fs = std::filesystem;

std::vector<std::string> catalog_names(const std::vector<std::string>& folders) {
  std::vector<std::string> names;
  for (const std::string& folder : folders) {
    if (!fs::is_directory(folder)) {
      continue;
    }
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (entry.path().extension() == ".json") {
        names.push_back(entry.path().stem().string());
      }
    }
  }
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
  return names;
}

std::string find_in_catalog(const std::string& name, const std::vector<std::string>& folders) {
  for (const std::string& folder : folders) {
    const fs::path path = fs::path(folder) / (name + ".json");
    if (fs::is_regular_file(path)) {
      return path.string();
    }
  }
  return {};
}

std::vector<ShadowedEntry> shadowed_entries(const std::vector<std::string>& folders) {
  std::vector<ShadowedEntry> shadowed;
  if (folders.size() < 2) {
    return shadowed;
  }
  for (const std::string& name : catalog_names(folders)) {
    ShadowedEntry entry{.name = name, .used = {}, .unseen = {}};
    for (const std::string& folder : folders) {
      const fs::path path = fs::path(folder) / (name + ".json");
      if (!fs::is_regular_file(path)) {
        continue;
      }
      if (entry.used.empty()) {
        entry.used = path.string();
      } else if (!fs::equivalent(path, entry.used)) {  // not one folder named twice
        entry.unseen.push_back(path.string());
      }
    }
    if (!entry.unseen.empty()) {
      shadowed.push_back(std::move(entry));
    }
  }
  return shadowed;
}

nlohmann::json resolve_reference(const nlohmann::json& value, const std::string& where,
                                 const std::vector<std::string>& folders,
                                 std::string& document_where, std::string* file) {
  if (value.is_object()) {
    document_where = where;
    return value;
  }
  if (!value.is_string()) {
    throw ConfigError(where, "is neither a name, nor the path of a .json file, nor an object");
  }
  const auto& name = value.get_ref<const std::string&>();
  const bool is_path = name.ends_with(".json");
  const std::string path = is_path ? name : find_in_catalog(name, folders);
  if (path.empty() || (is_path && !fs::is_regular_file(path))) {
    throw ConfigError(where, is_path ? "the file \"" + name + "\" does not exist"
                                     : "\"" + name + "\" is not in the catalog; it has: " +
                                           joined(catalog_names(folders)));
  }
  document_where = (is_path ? path : fs::path(path).filename().string()) + "#";
  if (file != nullptr) {
    *file = path;
  }
  return read_json_file(path);
}

}  // namespace moesim
