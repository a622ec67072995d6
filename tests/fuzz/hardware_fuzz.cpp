// A cluster document. An accepted cluster reads back the same from its effective document, and a
// small one has a topology in which every pair of devices is joined.
#include <nlohmann/json.hpp>

#include "hardware/topology.h"
#include "sim/core/config.h"
#include "sim/core/error.h"
#include "tests/fuzz/oracle.h"

namespace {

using moesim::fuzz::require;

void check_topology(const moesim::Cluster& cluster) {
  const moesim::Topology topology(cluster);
  require(topology.devices() == cluster.devices(), "the topology has every device");
  for (const moesim::Link& link : topology.links()) {
    require(link.bandwidth.si() > 0 && link.latency.si() >= 0, "a link carries something");
  }
  const auto paths = topology.paths(0, topology.devices() - 1);
  require(!paths.empty(), "the first device reaches the last");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto document = moesim::parse_json(moesim::fuzz::as_text(data, size), "fuzz.json");
    if (!document.is_object()) {
      return 0;  // a text would name a file
    }
    nlohmann::json effective;
    const moesim::Cluster cluster = moesim::load_cluster(document, "fuzz.json#", {}, &effective);
    nlohmann::json again;
    const moesim::Cluster same = moesim::load_cluster(effective, "effective.json#", {}, &again);
    require(effective == again && same.devices() == cluster.devices(),
            "the effective document is the same cluster");
    constexpr int small = 64;
    if (cluster.devices() <= small && cluster.fabric.spines <= small) {
      check_topology(cluster);
    }
  } catch (const moesim::ConfigError&) {
  }
  return 0;
}
