#include "calibrate/cpu/host_profile.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "sim/core/error.h"
#include "sim/core/rng.h"
#include "support.h"

using namespace moesim;
using Catch::Matchers::Contains;

namespace {

// A machine whose kernel follows the law exactly.
KernelTimes known() {
  KernelTimes k = test::kernel(2e-7, 4e-11, 0);
  k.fixed_s = 3e-6;
  k.contention = 1.3;
  k.alone_s_per_byte = {{1e6, 1e7, 1e8}, {0, 5e-12, 3e-11}, true, false};
  k.both_s_per_byte = {{1e6, 1e7, 1e8}, {0, 6e-12, 5e-11}, true, false};
  return k;
}

std::vector<HostKernelRow> rows_of(const KernelTimes& k) {
  std::vector<HostKernelRow> rows;
  for (const double weights : {1e5, 4e5, 1.6e6}) {
    for (const double count : {1, 2, 4, 8, 16, 32, 64}) {
      for (const double set : {1e6, 1e7, 1e8}) {
        const KernelCall call{count, weights, 0.0, 4 * weights, set};
        rows.push_back({call, 1, k.alone_s(call)});
        rows.push_back({call, 2, k.core_s(call) * k.contention + k.both_memory_s(call)});
      }
    }
  }
  return rows;
}

}  // namespace

TEST_CASE("a fit finds the law behind its rows again", "[calibrate_cpu][property]") {
  const KernelTimes truth = known();
  const KernelTimes fitted = fit_kernel(rows_of(truth), FarTerms::bytes);
  CHECK(fitted.median_error < 0.01);
  CHECK(fitted.contention == Approx(1.3).epsilon(0.02));
  CHECK(fitted.rows_fitted == 126);
  // Also between the points that it has seen: both are linear there.
  for (const double rows : {1.0, 3.0, 12.0, 50.0}) {
    for (const double set : {2e6, 5e7, 1e9}) {
      const KernelCall call{rows, 8e5, 0.0, 3.2e6, set};
      CAPTURE(rows, set);
      CHECK(fitted.alone_s(call) == Approx(truth.alone_s(call)).epsilon(0.03));
      CHECK(fitted.both_memory_s(call) ==
            Approx(truth.both_memory_s(call)).epsilon(0.05).margin(2e-6));
    }
  }
}

TEST_CASE("latency and bandwidth of far rows are told apart", "[calibrate_cpu][property]") {
  KernelTimes truth;
  truth.fixed_s = 1e-7;
  truth.per_row_s = 2e-8;
  truth.per_weight_s = {{}, {}, false, true};
  truth.alone_s_per_byte = {{1e4, 1e8}, {0, 4e-11}, true, false};
  truth.far_fixed_s = {{1e4, 1e8}, {0, 1e-6}, true, false};
  truth.far_per_row_s = {{1e4, 1e8}, {0, 6e-8}, true, false};
  std::vector<HostKernelRow> rows;
  for (const double count : {1, 4, 16, 64, 256}) {
    for (const double bytes : {1024.0, 4096.0, 16384.0}) {
      // Just above a point of the ladder the next rise counts next to nothing.
      for (const double set : {1e4, 1e4 + 1e-4, 1e8}) {
        const KernelCall call{count, 0.0, bytes / 4, count * bytes, set};
        rows.push_back({call, 1, truth.alone_s(call)});
      }
    }
  }
  const KernelTimes fitted = fit_kernel(rows, FarTerms::rows_and_bytes);
  CHECK(fitted.far_fixed_s(1e8) == Approx(1e-6).epsilon(0.1));
  CHECK(fitted.far_per_row_s(1e8) == Approx(6e-8).epsilon(0.1));
  CHECK(fitted.alone_s_per_byte(1e8) == Approx(4e-11).epsilon(0.1));
}

TEST_CASE("rows beyond whole tiles have their price", "[calibrate_cpu][property]") {
  CHECK(row_remainder(7) == 0);
  CHECK(row_remainder(8) == 0);
  CHECK(row_remainder(11) == 3);
  CHECK(row_remainder(16) == 0);
  KernelTimes truth = known();
  truth.remainder_s = {0, 2e-11, 2e-11, 4e-11, 1e-11, 2e-11, 2e-11, 4e-11};
  std::vector<HostKernelRow> rows = rows_of(truth);
  for (double count = 9; count < 40; ++count) {
    const KernelCall call{count, 4e5, 0.0, 1.6e6, 1e6};
    rows.push_back({call, 1, truth.alone_s(call)});
  }
  const KernelTimes fitted = fit_kernel(rows, FarTerms::bytes);
  CHECK(fitted.median_error < 0.01);
  for (const double count : {9, 15, 16, 27, 35}) {
    const KernelCall call{count, 8e5, 0.0, 3.2e6, 1e6};
    CAPTURE(count);
    CHECK(fitted.alone_s(call) == Approx(truth.alone_s(call)).epsilon(0.03));
  }
}

// Noise makes measured times fall here and there; a fit must not.
TEST_CASE("fitted times never fall with rows or working set", "[calibrate_cpu][property]") {
  const auto seed = GENERATE(range(0, 5));
  const RngStreams streams(static_cast<std::uint64_t>(seed));
  Rng rng = streams.stream("noise");
  std::vector<HostKernelRow> rows = rows_of(known());
  for (HostKernelRow& row : rows) {
    row.seconds *= 0.8 + 0.4 * rng.uniform();
  }
  const KernelTimes fitted = fit_kernel(rows, FarTerms::bytes);
  double before = 0.0;
  for (const double count : {1, 2, 3, 4, 6, 8, 16, 24, 40, 64, 80, 200}) {  // whole tiles
    const double now = fitted.alone_s({count, 1e6, 0.0, 4e6, 5e7});
    CHECK(now >= before);
    before = now;
  }
  before = 0.0;
  for (double set = 1e5; set < 1e9; set *= 1.3) {
    const double now = fitted.alone_s({4, 1e6, 0.0, 4e6, set});
    CHECK(now >= before);
    before = now;
  }
}

TEST_CASE("caches are private if two threads miss like one with half the data",
          "[calibrate_cpu][unit]") {
  KernelTimes k;
  k.alone_s_per_byte = {{1e6, 1e7, 2e7}, {0, 0, 1e-11}, true, false};
  k.both_s_per_byte = {{2e6, 2e7, 4e7}, {0, 0, 1e-11}, true, false};
  CHECK(has_private_caches(k));
  k.both_s_per_byte = {{1e6, 1e7, 2e7}, {0, 0, 1e-11}, true, false};
  CHECK_FALSE(has_private_caches(k));
}

TEST_CASE("a profile without rows of a kernel names it", "[calibrate_cpu][unit]") {
  CHECK_THROWS_WITH(fit_host_profile({}, "x, 2026-01-01", "folder"),
                    Contains("folder") && Contains("expert") && Contains("calibrate run cpu"));
}

TEST_CASE("a fit asks for enough rows of every kernel", "[calibrate_cpu][unit]") {
  const std::vector<MicroRow> rows{{{"expert", 1, 16, 512, 256, 1000, 1}, 1e-5, 1e-5, 1e-5, 9}};
  CHECK_THROWS_WITH(fit_host_profile(rows, "x, 2026-01-01", "folder"),
                    Contains("folder") && Contains("1 rows of the kernel expert"));
}

TEST_CASE("a profile may have no disk", "[calibrate_cpu][unit]") {
  HostProfile profile = test::made_up_host();
  profile.disk.reset();
  const nlohmann::json document = host_profile_json(profile);
  CHECK_FALSE(parse_host_profile(document, "p.json#").disk.has_value());
}

TEST_CASE("a profile survives writing and reading, and damage is named", "[calibrate_cpu][unit]") {
  const HostProfile profile = test::made_up_host();
  nlohmann::json document = host_profile_json(profile);
  const HostProfile back = parse_host_profile(document, "p.json#");
  CHECK(host_profile_json(back) == document);
  const KernelCall call{7, 1e5, 3, 4e5, 3e6};
  CHECK(back.expert.alone_s(call) == profile.expert.alone_s(call));

  const auto damaged = [&](const char* pointer, const nlohmann::json& value) {
    nlohmann::json copy = document;
    copy[nlohmann::json::json_pointer(pointer)] = value;
    return copy;
  };
  CHECK_THROWS_WITH(parse_host_profile(damaged("/schema", "other/1"), "p.json#"),
                    Contains("p.json#/schema"));
  CHECK_THROWS_WITH(
      parse_host_profile(damaged("/kernels/expert/alone/s_per_byte", {3e-11, 1e-11}), "p.json#"),
      Contains("p.json#/kernels/expert/alone/s_per_byte") && Contains("not fall"));
  CHECK_THROWS_WITH(
      parse_host_profile(damaged("/kernels/gate/per_weight/rows", {8, 1, 64}), "p.json#"),
      Contains("p.json#/kernels/gate/per_weight/rows") && Contains("ascend"));
  CHECK_THROWS_WITH(parse_host_profile(damaged("/kernels/expert/contention", 3), "p.json#"),
                    Contains("p.json#/kernels/expert/contention"));
  nlohmann::json zero = document;
  for (const char* key : {"fixed_s", "per_row_s", "per_element_s"}) {
    zero["kernels"]["combine_local"][key] = 0.0;
  }
  zero["kernels"]["combine_local"]["alone"]["s_per_byte"] = {0.0, 0.0};
  CHECK_THROWS_WITH(parse_host_profile(zero, "p.json#"),
                    Contains("p.json#/kernels/combine_local/fixed_s") && Contains("takes time"));
  nlohmann::json empty = document;
  empty["kernels"]["gate"]["per_weight"] = {{"rows", nlohmann::json::array()},
                                            {"s", nlohmann::json::array()}};
  CHECK_THROWS_WITH(parse_host_profile(empty, "p.json#"),
                    Contains("p.json#/kernels/gate/per_weight/rows") && Contains("one point"));
  CHECK_THROWS_WITH(parse_host_profile(damaged("/kernels/expert/typo", 3), "p.json#"),
                    Contains("p.json#/kernels/expert/typo") && Contains("unknown"));
}
