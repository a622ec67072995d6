// The table that microbenchmarks write and fits read: one row per measured case, times per call.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

namespace moesim {

// What was measured. README.md says what rows, n, k and depth mean for each kernel.
struct MicroKey {
  std::string kernel;
  int threads = 1;
  std::int64_t rows = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  std::int64_t working_set_bytes = 0;  // of all threads
  int depth = 1;  // requests in flight (disk); experts per token (gate, dispatch, combine)

  friend auto operator<=>(const MicroKey&, const MicroKey&) = default;
};

struct MicroRow {
  MicroKey key;
  double median_s = 0.0;
  double p10_s = 0.0;
  double p90_s = 0.0;
  std::int64_t repeats = 0;
  double time_s = 0.0;  // measured_time.h; 0: of a table without it

  // What fits read.
  [[nodiscard]] double fitted_s() const { return time_s > 0.0 ? time_s : median_s; }
};

struct MicroTable {
  std::string source;  // what follows "# source:"
  std::vector<MicroRow> rows;
};

// "# source: ...", the header, the rows.
std::string micro_table_text(const MicroTable& table);

// The column `time` may be missing: tables of older programs have none. Throws ConfigError with
// file, line and column for a missing or unknown column, a unit other than
// s, times outside of 1e-12 to 1e6 s, sizes that the kernel needs and that are 0, sizes beyond
// 2^40, more than 1,024 threads, quantiles out of order, and a repeated case.
MicroTable parse_micro_table(const std::string& text, const std::string& path);
MicroTable read_micro_table(const std::string& path);

}  // namespace moesim
