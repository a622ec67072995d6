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
  const std::map<std::string, std::string> known{
      {"NVIDIA H100 80GB HBM3", "h100_sxm"}, {"NVIDIA H200", "h200_sxm"},
      {"NVIDIA H800", "h800_sxm"},           {"NVIDIA A100-SXM4-80GB", "a100_sxm"},
      {"NVIDIA B200", "b200_sxm"},           {"NVIDIA RTX A6000", "rtx_a6000"}};
  for (const auto& [device, system] : known) {
    CAPTURE(device);
    CHECK(guess_system_name(device) == system);
    CHECK(
        std::filesystem::exists(MOESIM_SOURCE_DIR "/hardware/catalog/devices/" + system + ".json"));
  }
  // Slower boards of the same chips are other systems.
  CHECK(guess_system_name("NVIDIA H100 PCIe") == "h100_pcie");
  CHECK(guess_system_name("NVIDIA A100 80GB PCIe") == "a100_pcie");
  CHECK(guess_system_name("NVIDIA GB200") == "gb200");
  CHECK(guess_system_name("NVIDIA L40S") == "l40s");
  CHECK(guess_system_name("NVIDIA GeForce RTX 4090") == "geforce_rtx_4090");
  CHECK(guess_system_name("???") == "unknown");
}
