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
  CHECK(shipped("devices") == Names{"a100_pcie",
                                    "a100_sxm",
                                    "a30",
                                    "a800_sxm",
                                    "ascend_910b4",
                                    "ascend_910b4_1",
                                    "b200_sxm",
                                    "b300_sxm",
                                    "epyc_9654",
                                    "gb200",
                                    "gb300",
                                    "grace",
                                    "h100_pcie",
                                    "h100_sxm",
                                    "h20",
                                    "h200_sxm",
                                    "h800_sxm",
                                    "kunpeng_920",
                                    "l4",
                                    "l40s",
                                    "mi300x",
                                    "mi325x",
                                    "mi355x",
                                    "rtx_4090",
                                    "rtx_a6000",
                                    "rtx_pro_6000_server",
                                    "rtx_pro_6000_workstation"});
  CHECK(shipped("links") == Names{"efa_2x400g", "efa_400g", "hccs_910b", "infiniband_hdr",
                                  "infiniband_ndr", "infiniband_xdr", "nvlink3", "nvlink4",
                                  "nvlink4_h800", "nvlink5", "nvlink_c2c", "pcie4_x16", "pcie5_x16",
                                  "roce_200g", "roce_cx7_400g", "thor2_400g", "xgmi_mi300",
                                  "xgmi_mi355"});
  CHECK(shipped("storage") == Names{"nvme_pm9a3"});
  CHECK(shipped("clusters") ==
        Names{"a100-8x-ib200", "a6000-1x", "ascend-800i-a2-8x", "b200-8x-efa400", "b200-8x-ib400",
              "b300-8x-efa800", "b300-8x-ib800", "gb200-nvl72", "gb300-nvl72", "h100-8x-ib400",
              "h200-8x-efa400", "h200-8x-ib400", "h800-8x-ib400", "mi300x-8x-ib400",
              "mi300x-8x-thor2", "mi325x-8x-thor2", "mi355x-8x-cx7"});
}

// Stricter than the parser: shipped numbers have real dates, and file names are the names.
TEST_CASE("every shipped number has a source with a date", "[hardware][unit]") {
  const std::regex date("[0-9]{4}(-[01][0-9](-[0-3][0-9])?)?");
  const std::regex guess("assum|taken over|typical|equal to|about|as reported");
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
        const auto text = (*source)["source"].get<std::string>();
        const auto basis = (*source)["kind"].get<std::string>();
        CHECK(text.size() > 7);
        CHECK(std::ranges::find(k_source_kinds, basis) != k_source_kinds.end());
        CHECK(basis != k_scenario_kind);
        // What is taken from something else, or is only usual, is no fact about this product.
        CHECK((basis == "assumption" || !std::regex_search(text, guess)));
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
      CHECK(four.devices() == 4 * one.node.devices);
      CHECK(four.rails() == one.node.devices);
    }
  }
}

// Figures that are easily taken from the wrong product: sparse for dense, one card for another.
TEST_CASE("figures of cards that are easily mixed up", "[hardware][unit]") {
  const auto device = [](const char* name) {
    return load_device(name, "test#", shipped_catalog());
  };
  CHECK(device("rtx_pro_6000_server").memory.read.si() == 1.597e12);
  CHECK(device("rtx_pro_6000_workstation").memory.read.si() == 1.792e12);
  CHECK(device("b300_sxm").peak.at(DType::fp4).si() == 13.5e15);  // 108 PFLOP/s of eight, dense
  CHECK(device("gb300").peak.at(DType::fp4).si() == 15e15);
  CHECK(device("l4").memory.capacity.si() == 22.5 * 0x1p30);  // 24 GB less ECC
  for (const auto& [name, gib] : {std::pair{"ascend_910b4", 32.0}, {"ascend_910b4_1", 64.0}}) {
    CAPTURE(name);
    const Device npu = device(name);
    CHECK(npu.memory.capacity.si() == gib * 0x1p30);
    CHECK(npu.l2.si() == 96 * 0x1p20);
    // 20 cores x 16^3 multiply-adds a cycle at 1.5 GHz
    CHECK(npu.peak.at(DType::bf16).si() == Approx(20.0 * 16 * 16 * 16 * 2 * 1.5e9));
  }
  // 80.3 W idle of the 700 W that the card may take; 592.8 W was its load, not its limit.
  const Device h200 = device("h200_sxm");
  for (const char* name : {"b200_sxm", "gb200", "a100_pcie", "l40s", "rtx_4090"}) {
    CAPTURE(name);
    const Device other = device(name);
    CHECK(other.idle.si() / other.tdp.si() ==
          Approx(h200.idle.si() / h200.tdp.si()).epsilon(0.015));
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
