#include "hardware/cluster_document.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>

#include "hardware/cluster.h"
#include "hardware/device.h"
#include "hardware/sources.h"
#include "sim/core/catalog.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

// Keys of a node whose value may name a document of the catalog.
struct Part {
  std::string_view key;
  std::string_view folder;
};
constexpr std::array parts{
    Part{"device", "devices"}, Part{"host", "devices"},    Part{"device_link", "links"},
    Part{"nic_link", "links"}, Part{"host_link", "links"},
};

std::string part_pointer(std::string_view key) { return "/node/" + std::string(key); }

Json resolve_part(const Json& value, const Part& part, const std::string& where,
                  const std::vector<std::string>& catalog_dirs, std::string& document_where) {
  return resolve_reference(value, where, hardware_folders(catalog_dirs, part.folder),
                           document_where);
}

void resolve_storage(DocumentPlaces& places, Json& storage, const std::string& where,
                     const std::vector<std::string>& catalog_dirs) {
  if (!storage.is_array()) {
    throw ConfigError(where, "is not an array [...] of storage tiers");
  }
  for (std::size_t i = 0; i < storage.size(); ++i) {
    const std::string at = "/" + std::to_string(i);
    storage[i] = resolve_part(storage[i], {"storage", "storage"}, where + at, catalog_dirs,
                              places.part_where[part_pointer("storage") + at]);
  }
}

void resolve_parts(Json& document, DocumentPlaces& places,
                   const std::vector<std::string>& catalog_dirs) {
  const auto node = document.find("node");
  if (node == document.end() || !node->is_object()) {
    return;  // the parser says what is missing
  }
  for (const Part& part : parts) {
    const auto value = node->find(part.key);
    if (value != node->end()) {
      const std::string pointer = part_pointer(part.key);
      *value = resolve_part(*value, part, places.where + pointer, catalog_dirs,
                            places.part_where[pointer]);
    }
  }
  const auto storage = node->find("storage");
  if (storage != node->end()) {
    resolve_storage(places, *storage, places.where + part_pointer("storage"), catalog_dirs);
  }
}

// RFC 7396, and the pointers of all numbers it sets.
void merge(Json& base, const Json& patch, const std::string& pointer,
           std::vector<std::string>& touched) {
  for (const auto& item : patch.items()) {
    const std::string at = pointer + "/" + item.key();
    Json& target = base[item.key()];
    if (item.value().is_null()) {
      base.erase(item.key());
    } else if (item.value().is_object() && target.is_object()) {
      merge(target, item.value(), at, touched);
    } else {
      target = item.value();
      if (target.is_structured()) {
        for (const std::string& field : numeric_fields(target, {})) {
          touched.push_back(at + field);
        }
      } else if (numeric_fields(Json{{"value", target}}, {}).size() == 1) {
        touched.push_back(at);
      }
    }
  }
}

// Overridden numbers are sourced to the scenario; pointers to removed numbers go.
void update_sources(Json& document, std::vector<std::string> touched,
                    std::span<const std::string_view> left_out) {
  const std::vector<std::string> numbers = numeric_fields(document, left_out);
  std::erase_if(touched, [&](const std::string& field) {
    return std::ranges::find(numbers, field) == numbers.end();
  });
  Json sources = Json::array();
  if (!touched.empty()) {
    sources.push_back({{"fields", touched},
                       {"kind", k_scenario_kind},
                       {"source", "set by the scenario"},
                       {"date", k_set_by_scenario}});
  }
  for (Json& entry : document["sources"]) {
    Json fields = Json::array();
    for (const Json& field : entry["fields"]) {
      const auto& pointer = field.get_ref<const std::string&>();
      if (std::ranges::any_of(numbers, [&](const auto& n) { return covers(pointer, n); })) {
        fields.push_back(field);
      }
    }
    if (!fields.empty()) {
      entry["fields"] = fields;
      sources.push_back(entry);
    }
  }
  document["sources"] = sources;
}

void merge_with_sources(Json& document, const Json& patch, const std::string& where,
                        std::span<const std::string_view> left_out) {
  if (patch.contains("sources")) {
    throw ConfigError(where + "/sources",
                      "cannot be overridden; values set here are recorded as set by the scenario");
  }
  std::vector<std::string> touched;
  merge(document, patch, "", touched);
  update_sources(document, std::move(touched), left_out);
}

// Applies the override of one part of the node and takes it out of the patch.
void override_part(Json& document, DocumentPlaces& places, Json& patch, const Part& part,
                   const std::string& where, const std::vector<std::string>& catalog_dirs) {
  if (!patch.contains(part.key)) {
    return;
  }
  Json& node = document.at("node");
  const std::string key(part.key);
  const std::string part_where = where + part_pointer(key);
  const Json value = patch[key];
  patch.erase(key);
  if (value.is_null()) {
    node.erase(key);
  } else if (value.is_object() && node.contains(key)) {
    merge_with_sources(node[key], value, part_where, {});
    places.part_where[part_pointer(key)] = part_where;
  } else {
    node[key] =
        resolve_part(value, part, part_where, catalog_dirs, places.part_where[part_pointer(key)]);
  }
}

// "devices": 4 beside "cluster" is short for "node": {"devices": 4}.
void expand_devices_shorthand(Json& patch, const std::string& where) {
  const auto devices = patch.find("devices");
  if (devices == patch.end()) {
    return;
  }
  if (patch["node"].contains("devices")) {
    throw ConfigError(where + "/devices", "is given twice, here and at /node/devices; keep one");
  }
  patch["node"]["devices"] = *devices;
  patch.erase("devices");
}

}  // namespace

std::span<const PathKey> cluster_path_keys() {
  static const std::vector<PathKey> keys = [] {
    std::vector<PathKey> all{{part_pointer("storage") + "/*", json_file_name}};
    for (const Part& part : parts) {
      all.push_back({part_pointer(part.key), json_file_name});
    }
    return all;
  }();
  return keys;
}

Json expand_cluster(const Json& value, const std::string& where,
                    const std::vector<std::string>& catalog_dirs, DocumentPlaces& places) {
  std::string file;
  Json document = resolve_reference(value, where, hardware_folders(catalog_dirs, "clusters"),
                                    places.where, &file);
  places.warnings = rebase_paths(document, file, cluster_path_keys());
  resolve_parts(document, places, catalog_dirs);
  return document;
}

void apply_overrides(Json& document, DocumentPlaces& places, const Json& overrides,
                     const std::string& where, const std::vector<std::string>& catalog_dirs) {
  Json patch = overrides;
  patch.erase("cluster");
  if (patch.contains("node") && !patch["node"].is_object()) {
    throw ConfigError(where + "/node", "is not an object {...} of values to override");
  }
  expand_devices_shorthand(patch, where);
  if (patch.contains("node")) {
    Json& node = patch["node"];
    for (const Part& part : parts) {
      override_part(document, places, node, part, where, catalog_dirs);
    }
    if (node.contains("storage") && !node["storage"].is_null()) {
      resolve_storage(places, node["storage"], where + part_pointer("storage"), catalog_dirs);
    }
  }
  merge_with_sources(document, patch, where, k_no_cluster_source);
  places.where = where;
}

}  // namespace moesim
