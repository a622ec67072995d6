// What `moesim catalog` does, and where every command looks names up.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "sim/engine/catalog_folders.h"

namespace moesim {

// The catalogs below the roots, each laid out like the source tree (hardware/catalog, ...): the
// first that has a name is used. Throws ConfigError("--catalog ROOT", ...) for a root that is no
// folder.
CatalogFolders catalog_folders(const std::vector<std::string>& roots);

// Paths of files that are used instead of files of the same name in later folders. Whoever chose
// the folders tells people.
std::vector<std::string> preferred_files(const CatalogFolders& folders);

// What names a scenario may use.
struct CatalogListing {
  struct Shelf {
    std::string kind;  // "clusters", "kernel profiles", ...
    std::vector<std::string> names;
  };
  struct Choices {
    std::string kind;                                          // "placement solvers", ...
    std::vector<std::pair<std::string, std::string>> entries;  // name, what it is
  };
  std::vector<Shelf> files;
  std::vector<Choices> policies;
};

CatalogListing list_catalog(const CatalogFolders& folders);
// {kind: [names], kind: {name: what it is}}.
nlohmann::json to_json(const CatalogListing& listing);

// Where an entry stands: the kind of its shelf ("models", ...) and its file. `kind`, if not empty,
// is a kind or its singular; a path that ends in .json is the entry itself, of kind "models" if it
// describes one, else "". Throws ConfigError that lists the names if there is none, and for a name
// that stands on several shelves.
struct CatalogPlace {
  std::string kind;
  std::string path;
};
CatalogPlace find_catalog_entry(const std::string& kind, const std::string& name,
                                const CatalogFolders& folders);

// The document of a catalog's entry. Throws ConfigError that lists the names if there is none.
nlohmann::json catalog_entry(const std::string& name, const CatalogFolders& folders);

}  // namespace moesim
