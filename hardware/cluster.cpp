#include "hardware/cluster.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "hardware/cluster_document.h"
#include "hardware/sources.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::string_view, 3> interconnect_names{"none", "nvswitch", "pcie"};
constexpr std::array<std::string_view, 2> fabric_names{"none", "leaf_spine"};

template <class Enum, std::size_t N>
Enum parse_choice(ConfigObject& object, std::string_view key,
                  const std::array<std::string_view, N>& names) {
  const std::string name = object.choice(key, names);
  return static_cast<Enum>(std::ranges::find(names, name) - names.begin());
}

LinkSpec parse_link(ConfigObject object) {
  LinkSpec link;
  link.name = object.text("name");
  link.bandwidth = object.positive<Bandwidth>("bandwidth");
  link.latency = object.non_negative<Seconds>("latency");
  // Data sheets quote watts; the power of a port that is fully used in one direction.
  link.joules_per_byte =
      object.non_negative<Power>("power_at_full_rate").si() / link.bandwidth.si();
  read_sources(object);
  return link;
}

// Reads a part of the node that may come from another file, so that messages name that file.
class PartReader {
 public:
  PartReader(const DocumentPlaces& places, ConfigObject& node) : places_(places), node_(node) {}

  template <class Parse>
  auto required(std::string_view key, std::string_view why, Parse parse) {
    if (!node_.has(key)) {
      node_.fail(key, "is missing; " + std::string(why));
    }
    Json effective;
    const Json* value = node_.raw(key);
    auto part = parse(ConfigObject(*value, where("/node/" + std::string(key)), &effective));
    node_.set_effective(key, std::move(effective));
    return part;
  }

  std::vector<MemoryTier> storage() {
    std::vector<MemoryTier> tiers;
    const Json* value = node_.raw("storage");
    if (value == nullptr) {
      return tiers;
    }
    Json effective = Json::array();
    for (std::size_t i = 0; i < value->size(); ++i) {
      Json echoed;
      tiers.push_back(parse_storage(
          ConfigObject((*value)[i], where("/node/storage/" + std::to_string(i)), &echoed)));
      effective.push_back(std::move(echoed));
    }
    node_.set_effective("storage", std::move(effective));
    return tiers;
  }

 private:
  [[nodiscard]] std::string where(const std::string& pointer) const {
    const auto found = places_.part_where.find(pointer);
    return found == places_.part_where.end() ? places_.where + pointer : found->second;
  }

  const DocumentPlaces& places_;
  ConfigObject& node_;
};

void parse_host(NodeSpec& spec, ConfigObject& node, PartReader& parts) {
  if (!node.has("host")) {
    for (const std::string_view key : {"host_sockets", "host_link"}) {
      if (node.has(key)) {
        node.fail(key, "is given without a host; name one in /node/host, or leave this out");
      }
    }
    return;
  }
  spec.host = parts.required("host", "", parse_device);
  if (spec.host->kind != DeviceKind::cpu) {
    node.fail("host", "\"" + spec.host->name + "\" is of kind " +
                          std::string(name_of(spec.host->kind)) + "; a host is of kind cpu");
  }
  spec.host_sockets = static_cast<int>(node.integer("host_sockets", 1, 64));
  spec.host_link = parts.required(
      "host_link", "a node with a host needs the link from each device to it (\"pcie5_x16\")",
      parse_link);
}

std::string nic_counts(int devices) {
  std::string text;
  for (int n = 1; n <= devices; ++n) {
    if (devices % n == 0) {
      text += std::to_string(n) + ", ";
    }
  }
  return text + "or more than " + std::to_string(devices);
}

NodeSpec parse_node(ConfigObject node, const DocumentPlaces& places) {
  PartReader parts(places, node);
  NodeSpec spec;
  spec.device =
      parts.required("device", "name a device of the catalog or describe one", parse_device);
  spec.devices = static_cast<int>(node.integer("devices", 1, k_most_devices));
  spec.interconnect = parse_choice<NodeInterconnect>(node, "interconnect", interconnect_names);
  const bool joined_devices = spec.interconnect != NodeInterconnect::none;
  if (spec.devices > 1 && !joined_devices) {
    node.fail("interconnect", "is none, but the node has " + std::to_string(spec.devices) +
                                  " devices; join them by nvswitch or pcie");
  }
  if (joined_devices) {
    spec.device_link = parts.required(
        "device_link", "an interconnect needs the link from each device to it (\"nvlink4\")",
        parse_link);
  } else if (node.has("device_link")) {
    node.fail("device_link", "is given, but interconnect is none; leave one of them out");
  }
  spec.nics = static_cast<int>(node.integer("nics", 0, k_most_devices));
  if (spec.nics > 0) {
    spec.nic_link = parts.required(
        "nic_link", "a node with NICs needs their link (\"infiniband_ndr\")", parse_link);
    if (spec.nics < spec.devices && spec.devices % spec.nics != 0) {
      node.fail("nics", std::to_string(spec.nics) + " NICs cannot be shared evenly by " +
                            std::to_string(spec.devices) +
                            " devices; right are: " + nic_counts(spec.devices));
    }
  } else if (node.has("nic_link")) {
    node.fail("nic_link", "is given, but nics is 0; leave it out, or give the node NICs");
  }
  parse_host(spec, node, parts);
  spec.storage = parts.storage();
  node.reject_unknown_keys();
  return spec;
}

FabricSpec parse_fabric(ConfigObject& cluster) {
  FabricSpec spec;
  auto fabric = cluster.object_if("fabric");
  if (!fabric) {
    cluster.set_effective("fabric", {{"kind", "none"}});
    return spec;
  }
  spec.kind = parse_choice<FabricKind>(*fabric, "kind", fabric_names);
  if (spec.kind == FabricKind::leaf_spine) {
    spec.spines = static_cast<int>(fabric->integer("spines", 1, 1024));
    spec.oversubscription = fabric->number("oversubscription", 1.0, 1000.0);
    spec.switch_latency = fabric->non_negative<Seconds>("switch_latency");
  }
  fabric->reject_unknown_keys();
  return spec;
}

// What only the whole can tell: nodes must be joined, and the matrices must stay affordable.
void check_size(const Cluster& cluster, const ConfigObject& object) {
  if (cluster.nodes > k_most_devices / cluster.node.devices) {
    object.fail("nodes", std::to_string(cluster.nodes) + " nodes of " +
                             std::to_string(cluster.node.devices) + " are more than the " +
                             std::to_string(k_most_devices) + " devices that a cluster may have");
  }
  if (cluster.nodes == 1) {
    return;
  }
  const std::string nodes = std::to_string(cluster.nodes) + " nodes";
  if (cluster.node.nics == 0) {
    throw ConfigError(object.where() + "/node/nics",
                      "is 0, but the cluster has " + nodes +
                          "; give every node NICs (nics, nic_link), or set /nodes to 1");
  }
  if (cluster.fabric.kind == FabricKind::none) {
    throw ConfigError(
        object.where() + "/fabric/kind",
        "is none, but the cluster has " + nodes + "; join them by leaf_spine, or set /nodes to 1");
  }
}

Cluster parse_cluster(const Json& document, const DocumentPlaces& places, Json* effective) {
  ConfigObject object(document, places.where, effective);
  Cluster cluster;
  cluster.name = object.text("name");
  cluster.node = parse_node(object.object("node"), places);
  cluster.nodes = static_cast<int>(object.integer_or("nodes", 1, 1, k_most_devices));
  cluster.fabric = parse_fabric(object);
  cluster.usable_memory = object.number_or("usable_memory", cluster.usable_memory, 0.01, 1.0);
  check_size(cluster, object);
  read_sources(object, k_no_cluster_source);
  return cluster;
}

}  // namespace

Cluster load_cluster(const Json& value, const std::string& where,
                     const std::vector<std::string>& catalog_dirs, Json* effective,
                     std::vector<std::string>* warnings) {
  DocumentPlaces places;
  const auto say = [&] {
    if (warnings != nullptr) {
      *warnings = places.warnings;
    }
  };
  if (!value.is_object() || !value.contains("cluster")) {
    const Json document = expand_cluster(value, where, catalog_dirs, places);
    say();
    return parse_cluster(document, places, effective);
  }
  const Json& name = value["cluster"];
  if (!name.is_string()) {
    throw ConfigError(where + "/cluster", "is not the name or the path of a cluster");
  }
  Json document = expand_cluster(name, where + "/cluster", catalog_dirs, places);
  say();
  // First as it stands, so that mistakes of the named file are reported as its own.
  parse_cluster(document, places, nullptr);
  apply_overrides(document, places, value, where, catalog_dirs);
  return parse_cluster(document, places, effective);
}

}  // namespace moesim
