#include "hardware/cluster.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "hardware/topology.h"
#include "sim/core/catalog.h"
#include "sim/core/error.h"
#include "sim/core/output_file.h"
#include "tests/unit/hardware/support.h"

namespace moesim {
namespace {

using Json = nlohmann::json;
using test::shipped_catalog;

Cluster load(const Json& value, Json* effective = nullptr) {
  return load_cluster(value, "run.json#/hardware", shipped_catalog(), effective);
}

// A cluster of named and inline parts.
Json good_cluster() {
  return Json::parse(R"({
    "name": "mine",
    "node": {
      "device": "h100_sxm", "devices": 8, "interconnect": "nvswitch", "device_link": "nvlink4",
      "nics": 4,
      "nic_link": {"name": "net", "bandwidth": "100 Gbit/s", "latency": "2 us",
                   "power_at_full_rate": "25 W",
                   "sources": [{"fields": [""], "kind": "data sheet", "source": "a data sheet", "date": "2024"}]},
      "host": "epyc_9654", "host_sockets": 2, "host_link": "pcie5_x16",
      "storage": ["nvme_pm9a3"]},
    "nodes": 2,
    "fabric": {"kind": "leaf_spine", "spines": 2, "oversubscription": 1.5,
               "switch_latency": "500 ns"},
    "sources": [{"fields": ["/node", "/fabric"], "kind": "measured", "source": "our rack", "date": "2026-01-31"}]})");
}

TEST_CASE("a cluster of named and inline parts", "[hardware][unit]") {
  const Cluster cluster = load(good_cluster());
  CHECK(cluster.name == "mine");
  CHECK(cluster.devices() == 16);
  CHECK(cluster.node.device.name == "h100_sxm");
  CHECK(cluster.node.interconnect == NodeInterconnect::nvswitch);
  CHECK(cluster.node.nic_link.bandwidth.si() == 12.5e9);
  CHECK(cluster.node.nic_link.latency.si() == Approx(2e-6));
  CHECK(cluster.node.nic_link.joules_per_byte == Approx(25.0 / 12.5e9));
  REQUIRE(cluster.node.host.has_value());
  CHECK(cluster.node.host->name == "epyc_9654");
  CHECK(cluster.node.host_sockets == 2);
  CHECK(cluster.node.storage.front().name == "nvme_pm9a3");
  CHECK(cluster.fabric.kind == FabricKind::leaf_spine);
  CHECK(cluster.fabric.spines == 2);
  CHECK(cluster.fabric.oversubscription == 1.5);
  CHECK(cluster.usable_memory == 0.9);
}

struct BadInput {
  std::string patch;  // JSON merge patch on good_cluster()
  std::string message;
};

TEST_CASE("a bad cluster is refused with pointer and remedy", "[hardware][unit]") {
  const std::string at = "run.json#/hardware";
  const auto bad = GENERATE_COPY(
      BadInput{R"({"node": {"nics": 0, "nic_link": null}})",
               at + "/node/nics: is 0, but the cluster has 2 nodes; give every node NICs (nics, "
                    "nic_link), or set /nodes to 1"},
      BadInput{R"({"node": {"nics": 0}})",
               at + "/node/nic_link: is given, but nics is 0; leave it out, or give the node NICs"},
      BadInput{R"({"node": {"nic_link": null}})",
               at + "/node/nic_link: is missing; a node with NICs needs their link "
                    "(\"infiniband_ndr\")"},
      BadInput{R"({"node": {"nics": 3}})",
               at + "/node/nics: 3 NICs cannot be shared evenly by 8 devices; right are: 1, 2, 4, "
                    "8, or more than 8"},
      BadInput{
          R"({"fabric": null, "sources": [{"fields": ["/node"], "kind": "measured", "source": "s",
                   "date": "2024"}]})",
          at + "/fabric/kind: is none, but the cluster has 2 nodes; join them by leaf_spine, "
               "or set /nodes to 1"},
      BadInput{R"({"fabric": {"kind": "torus"}})",
               at + "/fabric/kind: \"torus\" is not one of: none, leaf_spine"},
      BadInput{R"({"fabric": {"oversubscription": 0.5}})",
               at + "/fabric/oversubscription: 0.5 is out of range; allowed: 1 to 1000"},
      BadInput{R"({"fabric": {"spines": 0}})",
               at + "/fabric/spines: 0 is out of range; allowed: 1 to 1024"},
      BadInput{R"({"fabric": {"switch_latency": "5"}})",
               at + "/fabric/switch_latency: \"5\" is not a quantity such as \"5 us\""},
      BadInput{R"({"node": {"devices": 0}})",
               at + "/node/devices: 0 is out of range; allowed: 1 to 16384"},
      BadInput{R"({"nodes": 0})", at + "/nodes: 0 is out of range; allowed: 1 to 16384"},
      BadInput{R"({"nodes": 2049})", at + "/nodes: 2049 nodes of 8 are more than the 16384 devices "
                                          "that a cluster may have"},
      BadInput{R"({"node": {"interconnect": "none", "device_link": null}})",
               at + "/node/interconnect: is none, but the node has 8 devices; join them by "
                    "nvswitch or pcie"},
      BadInput{R"({"node": {"interconnect": "none", "devices": 1}})",
               at + "/node/device_link: is given, but interconnect is none; leave one of them out"},
      BadInput{R"({"node": {"device_link": null}})",
               at + "/node/device_link: is missing; an interconnect needs the link from each "
                    "device to it (\"nvlink4\")"},
      BadInput{R"({"node": {"device": null}})",
               at + "/node/device: is missing; name a device of the catalog or describe one"},
      BadInput{R"({"node": {"device": 8}})",
               at + "/node/device: is neither a name, nor the path of a .json file, nor an object"},
      BadInput{R"({"node": {"device": "no/such.json"}})",
               at + "/node/device: the file \"no/such.json\" does not exist"},
      BadInput{R"({"node": {"device_link": "nvlink4_h80"}})",
               at + "/node/device_link: \"nvlink4_h80\" is not in the catalog; it has: efa_2x400g, "
                    "efa_400g, hccs_910b, "
                    "infiniband_hdr, infiniband_ndr, infiniband_xdr, nvlink3, nvlink4, "
                    "nvlink4_h800, nvlink5, "
                    "nvlink_c2c, pcie4_x16, pcie5_x16, roce_200g, roce_cx7_400g, thor2_400g, "
                    "xgmi_mi300, xgmi_mi355"},
      BadInput{R"({"node": {"nic_link": {"bandwidth": "100 GB"}}})",
               at + "/node/nic_link/bandwidth: \"100 GB\" is not a quantity such as \"400 "
                    "Gbit/s\""},
      BadInput{R"({"node": {"nic_link": {"power_at_full_rate": null}}})",
               at + "/node/nic_link/power_at_full_rate: is missing; a quantity such as \"700 W\" "
                    "is needed"},
      BadInput{R"({"node": {"host": "h100_sxm"}})",
               at + "/node/host: \"h100_sxm\" is of kind gpu; a host is of kind cpu"},
      BadInput{R"({"node": {"host": null}})",
               at + "/node/host_sockets: is given without a host; name one in /node/host, or leave "
                    "this out"},
      BadInput{R"({"node": {"host_link": null}})",
               at + "/node/host_link: is missing; a node with a host needs the link from each "
                    "device to it (\"pcie5_x16\")"},
      BadInput{R"({"node": {"storage": "nvme_pm9a3"}})",
               at + "/node/storage: is not an array [...] of storage tiers"},
      BadInput{R"({"node": {"storage": ["floppy"]}})",
               at + "/node/storage/0: \"floppy\" is not in the catalog; it has: nvme_pm9a3"},
      BadInput{R"({"node": {"gpus": 8}})",
               at + "/node/gpus: unknown key; known here: device, device_link, devices, host, "
                    "host_link, host_sockets, interconnect, nic_link, nics, storage"},
      BadInput{R"({"racks": 8})", at + "/racks: unknown key; known here: fabric, name, node, "
                                       "nodes, sources, usable_memory"},
      BadInput{R"({"node": null})", at + "/node: is missing; an object {...} is needed"},
      BadInput{R"({"node": 5})", at + "/node: is 5; an object {...} is needed"},
      BadInput{R"({"usable_memory": 1.5})",
               at + "/usable_memory: 1.5 is out of range; allowed: 0.01 to 1"},
      BadInput{
          R"({"sources": [{"fields": ["/fabric"], "kind": "measured", "source": "s", "date": "2024"}]})",
          at + "/sources: no source for /node/devices; add {\"fields\": "
               "[\"/node/devices\"], \"kind\": \"assumption\", \"source\": \"...\", \"date\": "
               "\"YYYY-MM\"}"});
  Json json = good_cluster();
  json.merge_patch(Json::parse(bad.patch));
  CHECK_THROWS_WITH(load(json), bad.message);
}

TEST_CASE("an unknown cluster names those there are", "[hardware][unit]") {
  CHECK_THROWS_WITH(load("h800"),
                    "run.json#/hardware: \"h800\" is not in the catalog; it has: a100-8x-ib200, "
                    "a6000-1x, ascend-800i-a2-8x, b200-8x-efa400, b200-8x-ib400, b300-8x-efa800, "
                    "b300-8x-ib800, gb200-nvl72, gb300-nvl72, h100-8x-ib400, h200-8x-efa400, "
                    "h200-8x-ib400, h800-8x-ib400, mi300x-8x-ib400, mi300x-8x-thor2, "
                    "mi325x-8x-thor2, mi355x-8x-cx7");
  CHECK_THROWS_WITH(load(4), Catch::StartsWith("run.json#/hardware: is neither a name"));
}

TEST_CASE("a scenario overrides a named cluster", "[hardware][unit]") {
  const Cluster cluster = load(Json::parse(R"({"cluster": "h800-8x-ib400", "nodes": 4,
    "node": {"nics": 2, "device": {"memory": {"capacity": "40 GiB"}, "peak": {"fp8": null}},
             "nic_link": "infiniband_hdr", "host_sockets": 1, "storage": null},
    "fabric": {"oversubscription": 2}, "usable_memory": 0.8})"));
  CHECK(cluster.devices() == 32);
  CHECK(cluster.node.nics == 2);
  CHECK(cluster.node.device.name == "h800_sxm");
  CHECK(cluster.node.device.memory.capacity.si() == 40 * 0x1p30);
  CHECK(cluster.node.device.memory.read.si() == 3.35e12);  // as it was
  CHECK_FALSE(cluster.node.device.peak.contains(DType::fp8));
  CHECK(cluster.node.nic_link.name == "infiniband_hdr");
  CHECK(cluster.node.host_sockets == 1);
  CHECK(cluster.node.storage.empty());
  CHECK(cluster.fabric.oversubscription == 2.0);
  CHECK(cluster.fabric.spines == 4);  // as it was
  CHECK(cluster.usable_memory == 0.8);

  CHECK(load(Json::parse(R"({"cluster": "ascend-800i-a2-8x", "devices": 4})")).devices() == 4);
  const Cluster bare = load(Json::parse(R"({"cluster": "h100-8x-ib400",
    "node": {"host": null, "host_sockets": null, "host_link": null}})"));
  CHECK_FALSE(bare.node.host.has_value());
}

TEST_CASE("an overridden number is sourced to the scenario, others keep theirs",
          "[hardware][unit]") {
  Json effective;
  load(Json::parse(R"({"cluster": "h800-8x-ib400", "node": {"nics": 4, "device": {"tdp": "500 W",
    "peak": {"fp8": "1 TFLOP/s"}}}})"),
       &effective);
  const Json& device = effective["node"]["device"]["sources"];
  CHECK(device[0] == Json::parse(R"({"fields": ["/peak/fp8", "/tdp"],
    "kind": "scenario", "source": "set by the scenario", "date": "run"})"));
  CHECK(device[1]["fields"] == Json::parse(R"(["/peak", "/multiprocessors", "/l2"])"));
  CHECK(effective["sources"][0] == Json::parse(R"({"fields": ["/node/nics"],
    "kind": "scenario", "source": "set by the scenario", "date": "run"})"));
}

TEST_CASE("bad overrides point into the scenario", "[hardware][unit]") {
  const std::string at = "run.json#/hardware";
  const auto bad = GENERATE_COPY(
      BadInput{R"({"cluster": {"name": "x"}})",
               at + "/cluster: is not the name or the path of a cluster"},
      BadInput{R"({"cluster": "h10"})", at + "/cluster: \"h10\" is not in the catalog; it has: "
                                             "a100-8x-ib200, a6000-1x, ascend-800i-a2-8x, "
                                             "b200-8x-efa400, b200-8x-ib400, "
                                             "b300-8x-efa800, b300-8x-ib800, gb200-nvl72, "
                                             "gb300-nvl72, h100-8x-ib400, h200-8x-efa400, "
                                             "h200-8x-ib400, h800-8x-ib400, mi300x-8x-ib400, "
                                             "mi300x-8x-thor2, mi325x-8x-thor2, "
                                             "mi355x-8x-cx7"},
      BadInput{R"({"cluster": "a6000-1x", "nodes": 2})",
               at + "/node/nics: is 0, but the cluster has 2 nodes; give every node NICs (nics, "
                    "nic_link), or set /nodes to 1"},
      BadInput{R"({"cluster": "a6000-1x", "devices": 2})",
               at + "/node/interconnect: is none, but the node has 2 devices; join them by "
                    "nvswitch or pcie"},
      BadInput{R"({"cluster": "h100-8x-ib400", "devices": 4, "node": {"devices": 2}})",
               at + "/devices: is given twice, here and at /node/devices; keep one"},
      BadInput{R"({"cluster": "h100-8x-ib400", "node": 4})",
               at + "/node: is not an object {...} of values to override"},
      BadInput{R"({"cluster": "h100-8x-ib400", "sources": []})",
               at + "/sources: cannot be overridden; values set here are recorded as set by the "
                    "scenario"},
      BadInput{R"({"cluster": "h100-8x-ib400", "node": {"device": {"tpd": "1 W"}}})",
               at + "/node/device/tpd: unknown key; known here: architecture, idle, kind, l2, "
                    "memory, multiprocessors, name, peak, price, sources, tdp"},
      BadInput{R"({"cluster": "h100-8x-ib400", "node": {"device": {"tdp": 1}}})",
               at + "/node/device/tdp: 1 is not a quantity such as \"700 W\""},
      BadInput{R"({"cluster": "h100-8x-ib400", "fabric": 5})",
               at + "/fabric: is 5; an object {...} is needed"},
      BadInput{R"({"cluster": "h100-8x-ib400", "node": {"storage": [5]}})",
               at + "/node/storage/0: is neither a name, nor the path of a .json file, nor an "
                    "object"},
      BadInput{R"({"cluster": "h100-8x-ib400", "node_count": 2})",
               at + "/node_count: unknown key; known here: fabric, name, node, nodes, sources, "
                    "usable_memory"});
  CHECK_THROWS_WITH(load(Json::parse(bad.patch)), bad.message);
}

// A mistake in a catalogued file is that file's, whoever refers to it.
TEST_CASE("messages name the file of the part", "[hardware][unit]") {
  namespace fs = std::filesystem;
  const fs::path root = fs::temp_directory_path() / "moesim_hardware_test_catalog";
  fs::remove_all(root);
  fs::create_directories(root / "devices");
  fs::create_directories(root / "clusters");
  Json device =
      read_json_file(find_in_catalog("h100_sxm", hardware_folders(shipped_catalog(), "devices")));
  device["tdp"] = "700 V";
  write_text_file((root / "devices/broken.json").string(), device.dump());
  Json cluster = good_cluster();
  cluster["node"]["device"] = "broken";
  write_text_file((root / "clusters/site.json").string(), cluster.dump());
  auto dirs = shipped_catalog();
  dirs.push_back(root.string());
  const std::string message = "broken.json#/tdp: \"700 V\" is not a quantity such as \"700 W\"";
  CHECK_THROWS_WITH(load_cluster("site", "run.json#/hardware", dirs, nullptr), message);
  CHECK_THROWS_WITH(
      load_cluster({{"cluster", "site"}, {"nodes", 3}}, "run.json#/hardware", dirs, nullptr),
      message);
  // The same for the cluster's own file, whatever a scenario sets over it.
  Json bad_cluster = good_cluster();
  bad_cluster["fabric"]["spines"] = 0;
  write_text_file((root / "clusters/bad.json").string(), bad_cluster.dump());
  CHECK_THROWS_WITH(
      load_cluster({{"cluster", "bad"}, {"nodes", 3}}, "run.json#/hardware", dirs, nullptr),
      "bad.json#/fabric/spines: 0 is out of range; allowed: 1 to 1024");
  // Without the mistake, the second catalog serves.
  device["tdp"] = "600 W";
  write_text_file((root / "devices/broken.json").string(), device.dump());
  CHECK(load_cluster("site", "run.json#/hardware", dirs, nullptr).node.device.tdp.si() == 600.0);
  // A file by its path, as a scenario beside it would name it.
  CHECK(load_cluster((root / "clusters/site.json").string(), "run.json#/hardware", dirs, nullptr)
            .name == "mine");
  fs::remove_all(root);
}

// A run can be repeated from what its report echoes, on a machine without the catalog.
TEST_CASE("the effective cluster is inline and reads back the same", "[hardware][property]") {
  std::vector<Json> inputs;
  for (const std::string& name : catalog_names(hardware_folders(shipped_catalog(), "clusters"))) {
    inputs.emplace_back(name);
    inputs.push_back({{"cluster", name}, {"node", {{"device", {{"idle", "1 W"}}}}}});
    if (name != "a6000-1x") {
      inputs.push_back({{"cluster", name}, {"nodes", 3}, {"devices", 4}});
    }
  }
  inputs.push_back(good_cluster());
  inputs.push_back(Json::parse(R"({"cluster": "h200-8x-ib400", "nodes": 2,
    "node": {"host": null, "host_sockets": null, "host_link": null, "nics": 1, "storage": []},
    "fabric": {"switch_latency": "1 us"}})"));
  REQUIRE(inputs.size() > 20);
  for (const Json& input : inputs) {
    CAPTURE(input.dump());
    Json effective;
    const Cluster first = load(input, &effective);
    CHECK(effective["node"]["device"].is_object());
    CHECK_FALSE(effective.contains("cluster"));
    Json again;
    const Cluster second = load_cluster(effective, "report.json#", {}, &again);
    CHECK(again == effective);
    CHECK(second.devices() == first.devices());
    CHECK(second.node.device.peak == first.node.device.peak);
    const Topology of_first(first);
    const Topology of_second(second);
    const auto& a = of_first.links();
    const auto& b = of_second.links();
    REQUIRE(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      CHECK((a[i].name == b[i].name && a[i].bandwidth == b[i].bandwidth &&
             a[i].latency == b[i].latency && a[i].joules_per_byte == b[i].joules_per_byte));
    }
  }
}

}  // namespace
}  // namespace moesim
