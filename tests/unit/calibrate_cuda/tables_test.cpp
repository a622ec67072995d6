// What the benchmarks write is what calibrate reads: made-up times go through both.
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>

#include "calibrate/cuda/host/session.h"
#include "calibrate/tables/comm_rows.h"
#include "calibrate/tables/kernel_rows.h"
#include "every_case.h"
#include "models/comm/comm_profile.h"
#include "tests/unit/calibrate/kernel_data.h"

using namespace moesim;
using namespace moesim::bench;

namespace {

constexpr const char* system_name = "h100_sxm";

struct Written {
  std::int64_t rows = 0;
  double first_s = 0.0;
};

// Slower than a device is, and no slower than one could be: twice what moving the operands
// once takes, but no less than a millisecond or so.
double made_up_ms(const PlannedCase& plan) {
  return std::max(0.9, 1e3 * 2.0 * plan.device_memory.si() / 3.35e12);
}

// The memory of exchanges is mostly scratch space.
double made_up_exchange_ms(const PlannedCase&) { return 0.9; }

// By table.
std::map<std::string, Written> write_tables(const std::string& out,
                                            double (*made_up)(const PlannedCase&)) {
  Session session({out, system_name, "0.1.0", "2.28.9", "2026-11-22"},
                  {"NVIDIA H100 80GB HBM3", "580.1", "13.0", 1980, 2619, Bytes(1e12), 8});
  std::map<std::string, Written> tables;
  for (const PlannedCase& plan : test::every_case(true, 8)) {
    if (session.wants(plan)) {
      const double ms = made_up(plan);
      session.run(plan, [ms] { return Measurement{{0.99 * ms, ms, 1.01 * ms}, 1755}; });
      Written& table = tables[plan.table->name];
      table.first_s = table.rows++ == 0 ? ms / 1e3 : table.first_s;
    }
  }
  return tables;
}

}  // namespace

TEST_CASE("kernel tables are read without a skipped row", "[calibrate][unit]") {
  const test::MeasurementFolder folder("kernel_tables");
  auto written = write_tables(folder.path(), made_up_ms);
  LoadGenerator loads(1);
  int kernel_tables = 0;
  for (const MeasuredFile& file : measured_files(folder.path())) {
    CAPTURE(file.path);
    const KernelRows rows = read_kernel_rows(file, test::measured_device, loads);
    if (rows.rows.empty()) {
      continue;  // no table that kernels are fitted to
    }
    ++kernel_tables;
    CHECK(file.framework == "moesim");
    CHECK(file.version == "0.1.0");
    CHECK(file.system == system_name);
    CHECK(rows.citation.starts_with(" source: moesim-cuda-bench 0.1.0; device: NVIDIA H100"));
    std::int64_t skipped = 0;
    for (const auto& [reason, count] : rows.skipped) {
      // The models have no 32-bit formats; nothing else may be left out.
      CHECK((reason == "format not modelled: float32" || reason == "format not modelled: tf32"));
      skipped += count;
    }
    CHECK(static_cast<std::int64_t>(rows.rows.size()) + skipped == written[file.operation].rows);
    CHECK((skipped == 0 || file.operation == "gemm"));
    CHECK(rows.rows.front().seconds == Approx(written[file.operation].first_s).epsilon(1e-3));
    for (const KernelRow& row : rows.rows) {
      CHECK_FALSE(beats_physics(row, rows.device));
    }
  }
  // gemm, moe, context and generation of attention and MLA, scale_matrix, computescale
  CHECK(kernel_tables == 8);
}

TEST_CASE("collective tables are read without a skipped row", "[calibrate][unit]") {
  const test::MeasurementFolder folder("nccl_tables");
  const auto written = write_tables(folder.path(), made_up_exchange_ms);
  const CommRows rows = read_comm_rows(
      folder.path(), load_comm_profiles({MOESIM_SOURCE_DIR "/models/comm/profiles"}));
  CHECK(rows.skipped.empty());
  CHECK(static_cast<std::int64_t>(rows.rows.size()) == written.at("nccl").rows);
  CHECK(rows.read == written.at("nccl").rows);
  REQUIRE_FALSE(rows.rows.empty());
  CHECK(rows.rows.front().collective.library == "nccl-2.28.9");
  CHECK(rows.rows.front().seconds == Approx(written.at("nccl").first_s).epsilon(1e-3));
}
