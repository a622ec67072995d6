#include "calibrate/cuda/host/session.h"

#include <catch2/catch.hpp>

#include "sim/core/csv.h"
#include "tests/unit/calibrate/kernel_data.h"

using namespace moesim;
using namespace moesim::bench;

namespace {

const Table k_table{"gemm", {"kernel_source", "m"}};

PlannedCase case_of(const std::string& m, double bytes, int devices = 1) {
  return {&k_table, {"lt", m}, Bytes(bytes), devices};
}

Session session_in(const std::string& out) {
  return Session({out, "h100_sxm", "0.1.0", "2.28.9", "2026-11-22"},
                 {"NVIDIA H100 80GB HBM3", "580.1", "13.0", 1980, 2619, Bytes(80e9), 2});
}

}  // namespace

TEST_CASE("a session measures what is new and fits", "[calibrate][unit]") {
  const test::MeasurementFolder folder("session");
  Session session = session_in(folder.path());
  CHECK(session.wants(case_of("1", 72e9)));  // nine tenths of the free memory
  CHECK_FALSE(session.wants(case_of("2", 72.1e9)));
  CHECK(session.wants(case_of("3", 1, 2)));
  CHECK_FALSE(session.wants(case_of("3", 1, 3)));
  session.run(case_of("1", 1), [] { return Measurement{{0.25, 0.125, 0.5}, 1755}; });
  session.run(case_of("4", 1), []() -> Measurement { throw Unsupported("no such kernel"); });
  CHECK_THROWS_AS(session.run(case_of("5", 1), []() -> Measurement { throw 5; }), int);
  CHECK_FALSE(session.wants(case_of("1", 1)));
  const RunSummary& summary = session.summary();
  CHECK(summary.measured == 1);
  CHECK(summary.kept == 1);
  CHECK(summary.left_out.size() == 3);
  CHECK(summary.left_out.at("no such kernel") == 1);
  // Another run goes on with what is left.
  Session next = session_in(folder.path());
  CHECK_FALSE(next.wants(case_of("1", 1)));
  CHECK(next.wants(case_of("4", 1)));
}

// Quantiles of 0.125, 0.25, 0.5 at 0.1 and 0.9: 0.125 + 0.2 * 0.125, 0.25 + 0.8 * 0.25.
TEST_CASE("rows hold the median, its spread and the clock", "[calibrate][unit]") {
  const test::MeasurementFolder folder("row");
  Session session = session_in(folder.path());
  session.run(case_of("1", 1), [] { return Measurement{{0.25, 0.125, 0.5}, 1755}; });
  const std::string path = folder.path() + "/h100_sxm/gemm__moesim-0.1.0.csv";
  CHECK(session.path_of(k_table) == path);
  CHECK(read_text_file(path) ==
        "# source: moesim-cuda-bench 0.1.0; device: NVIDIA H100 80GB HBM3; driver: 580.1; "
        "runtime: 13.0; clocks: 1980/2619 MHz; 2026-11-22\n"
        "kernel_source,m,latency_ms,device,driver,sm_clock_mhz,p10_ms,p90_ms,repeats\n"
        "lt,1,0.25,NVIDIA H100 80GB HBM3,580.1,1755,0.15,0.45,3\n");
  CHECK(session.path_of({"nccl", {"op_name"}}) == folder.path() + "/h100_sxm/nccl-2.28.9.csv");
}
