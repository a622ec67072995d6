#include "calibrate/tables/row_check.h"

#include <catch2/catch.hpp>

#include "sim/core/error.h"

namespace moesim {
namespace {

using Catch::Matchers::Contains;

// Every row does what takes `ideal_s` at best.
void check(const std::vector<double>& seconds, double ideal_s) {
  std::string text = "latency_ms\n";
  for (std::size_t i = 0; i < seconds.size(); ++i) {
    text += "1\n";
  }
  const CsvTable table = CsvTable::parse(text, "gemm.csv");
  TimeCheck times(table);
  for (std::size_t i = 0; i < seconds.size(); ++i) {
    times.add(i, seconds[i], ideal_s);
  }
  times.finish();
}

}  // namespace

TEST_CASE("a table a thousand times off is in another unit", "[calibrate][unit]") {
  constexpr double ideal = 1e-3;
  CHECK_NOTHROW(check({1.2e-3, 1.5e-3, 2e-3, 40e-3}, ideal));
  CHECK_NOTHROW(check({3e-6, 4e-6, 3e-6}, 0.0));  // nothing but overhead
  CHECK_THROWS_WITH(check({1.2e-3, 0.2, 0.4, 0.3}, ideal),
                    Contains("gemm.csv:3") && Contains("times longer") && Contains("unit"));
  CHECK_THROWS_WITH(check({1.2e-3, 1.2e-6, 1.5e-6, 2e-6}, ideal),
                    Contains("gemm.csv:3") && Contains("times shorter"));
  CHECK_THROWS_WITH(check({1.2}, ideal), Contains("gemm.csv:2: this row takes"));
  CHECK_THROWS_WITH(check({1e-9}, ideal), Contains("gemm.csv:2: this row takes"));
}

}  // namespace moesim
