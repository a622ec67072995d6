// The shipped catalog: complete, sourced, and true to the figures it quotes.
#include <algorithm>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <regex>

#include "hardware/cluster_document.h"
#include "hardware/sources.h"
#include "hardware/topology.h"
#include "sim/core/catalog.h"
#include "tests/unit/hardware/support.h"

namespace moesim {
namespace {

using test::shipped_catalog;

std::vector<std::string> shipped(std::string_view kind) {
  return catalog_names(hardware_folders(shipped_catalog(), kind));
}

nlohmann::json document(std::string_view kind, const std::string& name) {
  return read_json_file(find_in_catalog(name, hardware_folders(shipped_catalog(), kind)));
}

Cluster load(const nlohmann::json& value) {
  return load_cluster(value, "run.json#/hardware", shipped_catalog(), nullptr);
}

TEST_CASE("the catalog ships what the scenarios need", "[hardware][unit]") {
  using Names = std::vector<std::string>;
  CHECK(shipped("devices") == Names{"a100_pcie",    "a100_sxm",
                                    "a30",          "a800_sxm",
                                    "ascend_910b4", "b200_sxm",
                                    "b300_sxm",     "epyc_9654",
                                    "gb200",        "gb300",
                                    "h100_pcie",    "h100_sxm",
                                    "h20",          "h200_sxm",
                                    "h800_sxm",     "kunpeng_920",
                                    "l4",           "l40s",
                                    "rtx_4090",     "rtx_a6000",
                                    "rtx_pro_6000", "rtx_pro_6000_server"});
  CHECK(shipped("links") == Names{"hccs_910b", "infiniband_hdr", "infiniband_ndr", "nvlink3",
                                  "nvlink4", "nvlink4_h800", "nvlink5", "pcie4_x16", "pcie5_x16",
                                  "roce_200g"});
  CHECK(shipped("storage") == Names{"nvme_pm9a3"});
  CHECK(shipped("clusters") == Names{"a100-8x-ib200", "a6000-1x", "ascend-800i-a2-8x",
                                     "b200-8x-ib400", "h100-8x-ib400", "h200-8x-ib400",
                                     "h800-8x-ib400"});
}

// Stricter than the parser: shipped numbers have real dates, and file names are the names.
TEST_CASE("every shipped number has a source with a date", "[hardware][unit]") {
  const std::regex date("[0-9]{4}(-[01][0-9](-[0-3][0-9])?)?");
  std::size_t numbers = 0;
  for (const std::string_view kind : {"devices", "links", "storage", "clusters"}) {
    for (const std::string& name : shipped(kind)) {
      CAPTURE(name);
      const auto json = document(kind, name);
      CHECK(json["name"] == name);
      const bool cluster = kind == "clusters";
      for (const std::string& field :
           numeric_fields(json, cluster ? std::span<const std::string_view>(k_no_cluster_source)
                                        : std::span<const std::string_view>())) {
        CAPTURE(field);
        ++numbers;
        const auto& sources = json["sources"];
        const auto source = std::ranges::find_if(sources, [&](const auto& entry) {
          return std::ranges::any_of(entry["fields"], [&](const auto& pointer) {
            return covers(pointer.template get<std::string>(), field);
          });
        });
        REQUIRE(source != sources.end());
        CHECK((*source)["source"].get<std::string>().size() > 10);
        CHECK(std::regex_match((*source)["date"].get<std::string>(), date));
      }
    }
  }
  CHECK(numbers > 150);  // the loop did look at them
}

TEST_CASE("every shipped device parses", "[hardware][unit]") {
  for (const std::string& name : shipped("devices")) {
    CAPTURE(name);
    const Device device = load_device(name, "test#", shipped_catalog());
    CHECK(device.name == name);
    CHECK(device.peak.contains(device.kind == DeviceKind::cpu ? DType::fp32 : DType::bf16));
    CHECK(device.memory.latency.si() > 0.0);
    CHECK(device.idle.si() > 0.0);
    // Renting a host is part of renting its accelerators.
    CHECK((device.price.si() > 0.0) == (device.kind != DeviceKind::cpu));
  }
}

TEST_CASE("every shipped cluster makes a topology, one node or several", "[hardware][unit]") {
  for (const std::string& name : shipped("clusters")) {
    CAPTURE(name);
    const Cluster one = load(name);
    CHECK(one.name == name);
    CHECK(one.nodes == 1);
    CHECK(one.node.host.has_value());
    CHECK(one.node.storage.size() == 1);
    CHECK(Topology(one).has_host());
    if (one.node.nics > 0) {
      const Topology four(load({{"cluster", name}, {"nodes", 4}}));
      CHECK(four.devices() == 32);
      CHECK(four.rails() == 8);
    }
  }
}

// Figures that published work states for these machines.
TEST_CASE("quoted figures of the shipped clusters", "[hardware][unit]") {
  const Cluster h800 = load({{"cluster", "h800-8x-ib400"}, {"nodes", 4}});
  CHECK(h800.devices() == 32);
  CHECK(h800.node.device.architecture == "gh100");
  CHECK(h800.node.device_link.bandwidth.si() == 200e9);
  CHECK(h800.node.nic_link.bandwidth.si() == 50e9);  // 400 Gbit/s
  CHECK(h800.node.device.memory.capacity.si() == 80 * 0x1p30);
  // arXiv:2505.09343: 3.33 us NVLink, 2.8 us under one leaf, 3.7 us across leaves.
  const Topology topology(h800);
  CHECK(topology.latency(0, 1).si() == Approx(3.33e-6));
  CHECK(topology.latency(0, 8).si() == Approx(2.8e-6));
  CHECK(topology.latency(0, 9).si() == Approx(3.7e-6));

  const Cluster h100 = load("h100-8x-ib400");
  CHECK(h100.node.device_link.bandwidth.si() == 450e9);
  CHECK(h100.node.device.peak.at(DType::bf16).si() == 989e12);
  CHECK(h100.node.device.peak.at(DType::fp8).si() == 1978e12);
  CHECK(h100.node.device.price.si() * 3600 == Approx(2.69));
  const Cluster a100 = load("a100-8x-ib200");
  CHECK(a100.node.device.architecture == "ga100");
  CHECK(a100.node.device_link.bandwidth.si() == 300e9);
  CHECK(a100.node.nic_link.bandwidth.si() == 25e9);
  CHECK_FALSE(a100.node.device.peak.contains(DType::fp8));
  const Cluster b200 = load("b200-8x-ib400");
  CHECK(b200.node.device.architecture == "gb100");
  CHECK(b200.node.device_link.bandwidth.si() == 900e9);
  CHECK(b200.node.device.peak.at(DType::fp4).si() == 9e15);
  const Cluster a6000 = load("a6000-1x");
  CHECK(a6000.node.device.architecture == "ga102");
  CHECK(a6000.devices() == 1);
  CHECK(a6000.node.host_link.bandwidth.si() == 31.5e9);
  const Cluster ascend = load({{"cluster", "ascend-800i-a2-8x"}, {"devices", 4}});
  CHECK(ascend.node.device.kind == DeviceKind::npu);
  CHECK(ascend.devices() == 4);
}

}  // namespace
}  // namespace moesim
