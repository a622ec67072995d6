// A table of measured communication, with columns by name.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "calibrate/tables/comm_rows.h"
#include "sim/core/csv.h"

namespace moesim {

class MeasuredTable {
 public:
  explicit MeasuredTable(const std::filesystem::path& path) : csv_(CsvTable::read(path.string())) {}

  [[nodiscard]] std::size_t rows() const { return csv_.rows(); }
  [[nodiscard]] std::string text(std::size_t row, std::string_view column) const {
    return std::string(csv_.text(row, csv_.column(column)));
  }
  // A whole number from `least` to `most`.
  [[nodiscard]] std::int64_t count(std::size_t row, std::string_view column, std::int64_t least,
                                   std::int64_t most) const {
    return csv_.count(row, csv_.column(column), least, most);
  }
  [[nodiscard]] int small_count(std::size_t row, std::string_view column, std::int64_t least,
                                std::int64_t most) const {
    return static_cast<int>(count(row, column, least, most));
  }
  // Times may be 0 where a benchmark failed: such rows are counted, not refused.
  [[nodiscard]] double time(std::size_t row, std::string_view column) const {
    const std::size_t at = csv_.column(column);
    const double value = csv_.number(row, at);
    if (value < 0.0) {
      csv_.fail(row, at, "is no time; it must not be negative");
    }
    return value;
  }
  [[nodiscard]] double positive(std::size_t row, std::string_view column) const {
    return csv_.positive(row, csv_.column(column));
  }
  [[nodiscard]] const CsvTable& csv() const { return csv_; }
  // Where a row stands, and the text of the comment line "# source: ...".
  void cite(std::size_t row, CommRow& out) const {
    out.file = csv_.path();
    out.line = csv_.line(row);
    out.source = source();
  }

 private:
  [[nodiscard]] std::string source() const {
    constexpr std::string_view prefix = "source: ";
    const std::string& comment = csv_.comment();
    const auto at = comment.find(prefix);
    const auto begin = at == std::string::npos ? 0 : at + prefix.size();
    return comment.substr(begin, comment.find('\n', begin) - begin);
  }

  CsvTable csv_;
};

}  // namespace moesim
