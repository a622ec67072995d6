// Is what a table says possible? Wrong types and ranges are CsvTable's to refuse; wrong units give
// good numbers, and show only beside what the machine can do.
#pragma once

#include <string>
#include <vector>

#include "sim/core/csv.h"

namespace moesim {

// All times of one table. Calls cost some microseconds whatever they do, so a time is compared with
// the data sheet's answer and 10 us on top. In published tables the typical row is 0.2 to 10 times
// that, and single rows are 0.1 to 130 times: a factor of 1000 between units is outside.
class TimeCheck {
 public:
  explicit TimeCheck(const CsvTable& table) : table_(table) {}

  // `ideal_s`: least time by the data sheet, 0 where nothing is known. Throws ConfigError("path:
  // line", ...) for a row that is off by more than 1000.
  void add(std::size_t row, double seconds, double ideal_s);
  // Throws ConfigError naming the table's first such row if the typical row is off by more than 30
  // (too fast) or 100 (too slow). Tables of fewer than 3 rows have no typical one.
  void finish() const;

 private:
  [[noreturn]] void fail(std::size_t row, double ratio, const std::string& what) const;

  const CsvTable& table_;
  std::vector<double> ratio_;     // time / (ideal + overhead)
  std::vector<std::size_t> row_;  // of each ratio
};

}  // namespace moesim
