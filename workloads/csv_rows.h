// Strict reader for the small CSV files that routing data comes in: a header line that must match,
// then rows of numbers. Messages name file, line and column.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace moesim::detail {

struct CsvTable {
  std::string path;
  std::vector<std::string> columns;
  std::vector<std::vector<double>> rows;  // finite, as many as there are columns

  // Index of a column. Throws ConfigError that lists the columns there are.
  [[nodiscard]] std::size_t column(const std::string& name) const;
  // "file:line" of a row.
  [[nodiscard]] std::string where(std::size_t row) const;
  // A cell that must be a whole number in [min, max].
  std::int64_t integer(std::size_t row, std::size_t column, std::int64_t min,
                       std::int64_t max) const;
};

CsvTable read_csv(const std::string& path);

}  // namespace moesim::detail
