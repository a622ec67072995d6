#include <catch2/catch.hpp>
#include <filesystem>
#include <map>
#include <set>

#include "calibrate/cuda/host/result_file.h"
#include "calibrate/cuda/host/statistics.h"
#include "calibrate/cuda/host/system_name.h"
#include "every_case.h"
#include "sim/core/error.h"

using namespace moesim;
using namespace moesim::bench;

TEST_CASE("every case of every grid is told apart by its key", "[calibrate][property]") {
  for (const bool quick : {false, true}) {
    std::map<std::string, std::set<std::string>> keys;
    for (const PlannedCase& plan : test::every_case(quick, 8)) {
      REQUIRE(plan.key.size() == plan.table->key_columns.size());
      CAPTURE(plan.table->name, csv_line(plan.key));
      REQUIRE(keys[plan.table->name].insert(csv_line(plan.key)).second);
      REQUIRE(plan.device_memory > rotation_reserve * 0.999);
      REQUIRE(plan.device_memory < Bytes(200e9));
      REQUIRE(plan.devices >= 1);
    }
    CHECK(keys.size() == 17);
  }
}

TEST_CASE("grids keep what the kernels and the tables ask for", "[calibrate][unit]") {
  for (const MoeCase& moe : moe_grid(false)) {
    REQUIRE(moe.experts % moe.ep == 0);
    REQUIRE(moe.inter % (64 * moe.tp) == 0);
    REQUIRE(moe.hidden % 64 == 0);
    REQUIRE(moe.top_k <= moe.experts);
  }
  for (const AttentionCase& attention : attention_grid(false, false)) {
    REQUIRE(attention.heads % attention.kv_heads == 0);
    REQUIRE(attention.length >= 2);  // the tables want at least one cached token and a new one
  }
  int largest = 0;
  for (const CollectiveCase& collective : collective_grid(8, false)) {
    REQUIRE(collective.elements % collective.devices == 0);
    largest = std::max(largest, collective.devices);
  }
  CHECK(largest == 8);
  CHECK(collective_grid(1, false).empty());
  CHECK(peer_grid(1, false).empty());
  CHECK(distribution_name(0) == "balanced");
  CHECK(distribution_name(1.01) == "power_law_1.01");
}

// 2 x 3 values of x, 4 x 3 of w, 2 x 4 results: 6 + 12 + 8.
TEST_CASE("a product's bytes count all three matrices", "[calibrate][unit]") {
  CHECK(operand_bytes({Format::bfloat16, 2, 4, 3}) == Bytes(26 * 2));
  CHECK(operand_bytes({Format::float32, 2, 4, 3}) == Bytes(26 * 4));
  CHECK(operand_bytes({Format::fp8, 2, 4, 3}) == Bytes(18 + 8 * 2));
  CHECK(operand_bytes({Format::int8, 2, 4, 3}) == Bytes(18 + 8 * 4));
}

// Sorted 1, 2, 3, 4, 10: the median is the third, the 10 % quantile lies 0.4 of the way from the
// first to the second, the 90 % one 0.6 from the fourth to the fifth.
TEST_CASE("statistics are order statistics", "[calibrate][unit]") {
  const Statistics times = summarise({10, 2, 3, 1, 4});
  CHECK(times.median_ms == 3);
  CHECK(times.p10_ms == Approx(1.4));
  CHECK(times.p90_ms == Approx(7.6));
  CHECK(times.repeats == 5);
  CHECK(summarise({7}).p90_ms == 7);
  CHECK(summarise({1, 2}).median_ms == 1.5);
  CHECK_THROWS_AS(summarise({}), InvariantError);
  CHECK_THROWS_AS(summarise({1, 0}), InvariantError);
  CHECK_THROWS_AS(summarise({1, std::numeric_limits<double>::quiet_NaN()}), InvariantError);
}

TEST_CASE("devices get their names of the catalogue", "[calibrate][unit]") {
  const std::multimap<std::string, std::string> known{
      {"a100_pcie", "NVIDIA A100 80GB PCIe"},
      {"a100_sxm", "NVIDIA A100-SXM4-80GB"},
      {"a30", "NVIDIA A30"},
      {"a800_sxm", "NVIDIA A800-SXM4-80GB"},
      {"b200_sxm", "NVIDIA B200"},
      {"b300_sxm", "NVIDIA B300 SXM6 AC"},
      {"b300_sxm", "NVIDIA B300"},
      {"gb200", "NVIDIA GB200"},
      {"gb300", "NVIDIA GB300"},
      {"h100_pcie", "NVIDIA H100 PCIe"},
      {"h100_sxm", "NVIDIA H100 80GB HBM3"},
      {"h20", "NVIDIA H20"},
      {"h200_sxm", "NVIDIA H200"},
      {"h800_sxm", "NVIDIA H800"},
      {"l4", "NVIDIA L4"},
      {"l40s", "NVIDIA L40S"},
      {"rtx_4090", "NVIDIA GeForce RTX 4090"},
      {"rtx_a6000", "NVIDIA RTX A6000"},
      {"rtx_pro_6000_workstation", "NVIDIA RTX PRO 6000 Blackwell Workstation Edition"},
      {"rtx_pro_6000_server", "NVIDIA RTX PRO 6000 Blackwell Server Edition"}};
  const std::filesystem::path devices(MOESIM_SOURCE_DIR "/hardware/catalog/devices");
  for (const auto& [system, device] : known) {
    CAPTURE(device);
    CHECK(guess_system_name(device) == system);
    CHECK(std::filesystem::exists(devices / (system + ".json")));
    CHECK_NOTHROW(check_system_name(system));
  }
  const std::set<std::string> other_makers{"ascend_910b4", "ascend_910b4_1", "epyc_9654", "grace",
                                           "kunpeng_920",  "mi300x",         "mi325x",    "mi355x"};
  for (const auto& entry : std::filesystem::directory_iterator(devices)) {
    const std::string name = entry.path().stem().string();
    CAPTURE(name);
    CHECK((other_makers.contains(name) || known.contains(name)));
  }
}

// Other memories, slices, and slower boards of the same chips.
TEST_CASE("devices that are not of the catalogue keep their own names", "[calibrate][unit]") {
  const std::map<std::string, std::string> own{
      {"NVIDIA GH200 480GB", "gh200_480gb"},
      {"NVIDIA A100-SXM4-40GB", "a100_sxm4_40gb"},
      {"NVIDIA A100-PCIE-40GB", "a100_pcie_40gb"},
      {"NVIDIA H100 80GB HBM3 MIG 1g.10gb", "h100_80gb_hbm3_mig_1g_10gb"},
      {"NVIDIA A100-SXM4-80GB MIG 3g.40gb", "a100_sxm4_80gb_mig_3g_40gb"},
      {"NVIDIA H200 NVL", "h200_nvl"},
      {"NVIDIA H100 NVL", "h100_nvl"},
      {"NVIDIA H20-3e", "h20_3e"},
      {"NVIDIA L40", "l40"},
      {"NVIDIA GeForce RTX 4090 Laptop GPU", "geforce_rtx_4090_laptop_gpu"},
      {"???", "unknown"}};
  for (const auto& [device, system] : own) {
    CHECK(guess_system_name(device) == system);
    CHECK_FALSE(
        std::filesystem::exists(MOESIM_SOURCE_DIR "/hardware/catalog/devices/" + system + ".json"));
  }
  for (const char* bad : {"", "../up", "H100", "h100 sxm", "h100-sxm"}) {
    CHECK_THROWS_WITH(check_system_name(bad), Catch::Matchers::Contains("--system"));
  }
}
