// Made-up tables, and the kernel rows that they must become.
#pragma once

#include <catch2/catch.hpp>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "calibrate/tables/kernel_rows.h"
#include "kernel_data.h"
#include "sim/core/error.h"

namespace moesim::test {

inline KernelRows rows_of(const std::string& name, const std::string& text) {
  const MeasurementFolder folder("rows");
  folder.write(name, "# source: made, commit 0123456789ab (MIT)\n" + text);
  const auto files = measured_files(folder.path());
  REQUIRE(files.size() == 1);
  LoadGenerator loads(1);
  return read_kernel_rows(files[0], measured_device, loads);
}

inline void check_row(const KernelRows& table, std::size_t index, const std::string& family,
                      const std::vector<double>& dims, double seconds) {
  REQUIRE(index < table.rows.size());
  const KernelRow& row = table.rows[index];
  CHECK(family_name(row.shape.key) == family);
  for (std::size_t i = 0; i < dims.size(); ++i) {
    CAPTURE(family, index, i);
    CHECK(row.shape.dims[i] == Approx(dims[i]));
  }
  CHECK(row.seconds == Approx(seconds));
}

inline std::int64_t skipped(const KernelRows& table) {
  return std::accumulate(table.skipped.begin(), table.skipped.end(), std::int64_t{0},
                         [](std::int64_t sum, const auto& entry) { return sum + entry.second; });
}

inline void check_error(const std::string& name, const std::string& text, const std::string& place,
                        const std::string& what) {
  CAPTURE(name, text);
  CHECK_THROWS_AS(rows_of(name, text), ConfigError);
  CHECK_THROWS_WITH(rows_of(name, text),
                    Catch::Matchers::Contains(place) && Catch::Matchers::Contains(what));
}

}  // namespace moesim::test
