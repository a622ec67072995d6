// From what a scenario says of its hardware to one document with everything inline.
#pragma once

#include <array>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace moesim {

// Numbers of a cluster's document that need no source there: parts with sources of their own, and
// what a user chooses rather than looks up.
inline constexpr std::array<std::string_view, 8> k_no_cluster_source{
    "/node/device",  "/node/host", "/node/device_link", "/node/nic_link", "/node/host_link",
    "/node/storage", "/nodes",     "/usable_memory"};

// Where messages find the document and those of its parts that come from elsewhere
// ("/node/device" -> "h800_sxm.json#").
struct DocumentPlaces {
  std::string where;
  std::map<std::string, std::string> part_where;
  std::vector<std::string> warnings;  // of how the document was read
};

// The document that a name, a path or an inline cluster stands for. Throws ConfigError(where, ...).
nlohmann::json expand_cluster(const nlohmann::json& value, const std::string& where,
                              const std::vector<std::string>& catalog_dirs, DocumentPlaces& places);

// Applies {"cluster": ..., overrides...} to the document it names, which must be a valid cluster.
// Every overridden number gets a source that says so. Throws ConfigError(where, ...).
void apply_overrides(nlohmann::json& document, DocumentPlaces& places,
                     const nlohmann::json& overrides, const std::string& where,
                     const std::vector<std::string>& catalog_dirs);

}  // namespace moesim
