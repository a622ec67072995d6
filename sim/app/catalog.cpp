#include "sim/app/catalog.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "hardware/device.h"
#include "models/network/hf_config.h"
#include "placement/formats/formats.h"
#include "placement/rebalance/rebalance.h"
#include "placement/solver.h"
#include "sim/core/catalog.h"
#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/engine/exchange/all_to_all.h"
#include "sim/engine/schedule/schedule.h"

namespace moesim {
namespace {

namespace fs = std::filesystem;

struct ShelfFolders {
  std::string kind;
  std::vector<std::string> folders;
};

std::vector<std::string> below(const std::vector<std::string>& folders, const char* name) {
  std::vector<std::string> result;
  for (const std::string& folder : folders) {
    result.push_back((fs::path(folder) / name).string());
  }
  return result;
}

std::vector<ShelfFolders> shelves(const CatalogFolders& folders) {
  return {{"clusters", below(folders.hardware, "clusters")},
          {"devices", below(folders.hardware, "devices")},
          {"links", below(folders.hardware, "links")},
          {"models", folders.models},
          {"kernel profiles", folders.kernel_profiles},
          {"communication profiles", folders.comm_profiles},
          {"routing profiles", folders.routing_profiles}};
}

template <class Entries>
CatalogListing::Choices choices(const char* kind, const Entries& entries) {
  CatalogListing::Choices result{kind, {}};
  for (const auto& entry : entries) {
    result.entries.emplace_back(entry.name, entry.summary);
  }
  return result;
}

}  // namespace

CatalogFolders catalog_folders(const std::vector<std::string>& roots) {
  CatalogFolders folders;
  for (const fs::path root : roots) {
    if (!fs::is_directory(root)) {
      throw ConfigError("--catalog " + root.string(), "is not an existing folder");
    }
    folders.hardware.push_back((root / "hardware" / "catalog").string());
    folders.models.push_back((root / "models" / "catalog").string());
    folders.kernel_profiles.push_back((root / "models" / "profiles").string());
    folders.comm_profiles.push_back((root / "models" / "comm" / "profiles").string());
    folders.comm_profiles.push_back(
        (root / "hardware" / "profiles").string());  // of older catalogs
    folders.routing_profiles.push_back((root / "workloads" / "profiles").string());
  }
  return folders;
}

std::vector<std::string> preferred_files(const CatalogFolders& folders) {
  std::vector<std::string> files;
  const auto add = [&](const std::vector<std::string>& shelf) {
    for (const ShadowedEntry& entry : shadowed_entries(shelf)) {
      files.push_back(entry.used);
    }
  };
  for (const char* kind : {"clusters", "devices", "links", "storage"}) {
    add(hardware_folders(folders.hardware, kind));
  }
  add(folders.models);
  add(folders.kernel_profiles);
  add(folders.comm_profiles);
  add(folders.routing_profiles);
  return files;
}

CatalogListing list_catalog(const CatalogFolders& folders) {
  CatalogListing listing;
  for (const ShelfFolders& shelf : shelves(folders)) {
    listing.files.push_back({shelf.kind, catalog_names(shelf.folders)});
  }
  listing.policies = {choices("placement solvers", placement_solvers()),
                      choices("placement formats", placement_formats()),
                      choices("rebalancing policies", rebalance_policies()),
                      choices("all-to-all algorithms", all_to_all_algorithms()),
                      choices("overlap schedules", overlap_policies())};
  return listing;
}

nlohmann::json to_json(const CatalogListing& listing) {
  nlohmann::json document = nlohmann::json::object();
  for (const CatalogListing::Shelf& shelf : listing.files) {
    document[shelf.kind] = shelf.names;
  }
  for (const CatalogListing::Choices& kind : listing.policies) {
    document[kind.kind] = nlohmann::json::object();
    for (const auto& [name, summary] : kind.entries) {
      document[kind.kind][name] = summary;
    }
  }
  return document;
}

CatalogPlace find_catalog_entry(const std::string& kind, const std::string& name,
                                const CatalogFolders& folders) {
  const std::string where = "catalog show " + (kind.empty() ? "" : kind + " ") + name;
  std::vector<ShelfFolders> wanted;
  std::vector<std::string> kinds;
  for (ShelfFolders& shelf : shelves(folders)) {
    kinds.push_back(shelf.kind);
    if (kind.empty() || shelf.kind == kind || shelf.kind == kind + "s") {
      wanted.push_back(std::move(shelf));
    }
  }
  if (wanted.empty()) {
    throw ConfigError(where, "\"" + kind + "\" is no kind; there are: " + joined(kinds));
  }
  if (name.ends_with(".json")) {
    if (!fs::is_regular_file(name)) {
      throw ConfigError(where, "the file does not exist");
    }
    if (!kind.empty()) {
      return {wanted.front().kind, name};
    }
    const nlohmann::json document = parse_json(without_python_numbers(read_text_file(name)), name);
    const bool model =
        is_hf_config(document) || (document.is_object() && document.contains("blocks"));
    return {model ? "models" : "", name};
  }
  std::vector<CatalogPlace> found;
  std::vector<std::string> known;
  for (const ShelfFolders& shelf : wanted) {
    const std::string path = find_in_catalog(name, shelf.folders);
    if (!path.empty()) {
      found.push_back({shelf.kind, path});
    }
    const auto names = catalog_names(shelf.folders);
    known.insert(known.end(), names.begin(), names.end());
  }
  if (found.empty()) {
    throw ConfigError(where, "no such entry; there are: " + joined(known));
  }
  return found.front();
}

nlohmann::json catalog_entry(const std::string& name, const CatalogFolders& folders) {
  return read_json_file(find_catalog_entry("", name, folders).path);
}

}  // namespace moesim
