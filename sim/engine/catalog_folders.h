// Where catalogs and profiles lie.
#pragma once

#include <string>
#include <vector>

namespace moesim {

// Folders in which names are looked up, in order.
struct CatalogFolders {
  std::vector<std::string> hardware;
  std::vector<std::string> models;
  std::vector<std::string> kernel_profiles;
  std::vector<std::string> comm_profiles;
  std::vector<std::string> routing_profiles;
};

}  // namespace moesim
