// Tables as comma-separated text: comment lines (#), one header line, rows. Every message names
// file, line and column.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moesim {

// More of anything is a slip of the pen; products of two such numbers are no overflow.
inline constexpr std::int64_t k_most_count = std::int64_t{1} << 31;

class CsvTable {
 public:
  // Throws ConfigError("path:line:column", ...) for a file without header, a repeated or empty
  // column name, or a row with another number of fields than the header. Fields may be quoted.
  static CsvTable parse(std::string text, std::string path);
  static CsvTable read(const std::string& path);

  [[nodiscard]] std::size_t rows() const { return line_.size(); }
  [[nodiscard]] std::size_t columns() const { return header_.size(); }
  [[nodiscard]] const std::string& column_name(std::size_t column) const {
    return header_.at(column);
  }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::uint32_t line(std::size_t row) const { return line_[row]; }  // from 1
  // All comment lines, "#" removed.
  [[nodiscard]] const std::string& comment() const { return comment_; }
  [[nodiscard]] bool has(std::string_view column) const;
  // Throws ConfigError that lists the columns there are.
  [[nodiscard]] std::size_t column(std::string_view name) const;
  // Throws ConfigError unless the columns are these, in this order: for readers by position, which
  // would take the first row of a table without header for one.
  void check_header(std::span<const std::string> expected) const;
  // Throws ConfigError for a table of a header alone.
  void check_has_rows() const;

  [[nodiscard]] std::string_view text(std::size_t row, std::size_t column) const;
  // A finite number. Throws ConfigError.
  [[nodiscard]] double number(std::size_t row, std::size_t column) const;
  [[nodiscard]] double positive(std::size_t row, std::size_t column) const;
  // A number in [min, max].
  [[nodiscard]] double number(std::size_t row, std::size_t column, double min, double max) const;
  // A whole number in [min, max].
  [[nodiscard]] std::int64_t count(std::size_t row, std::size_t column, std::int64_t min,
                                   std::int64_t max = k_most_count) const;

  // Throws ConfigError("path:line:column name", "\"text\" what").
  [[noreturn]] void fail(std::size_t row, std::size_t column, std::string_view what) const;

 private:
  struct Field {
    std::uint32_t begin;
    std::uint32_t size;
  };
  void name_columns(const std::vector<Field>& header, std::size_t line);
  void add_row(std::size_t begin, std::size_t end, std::size_t line);
  void split_line(std::size_t begin, std::size_t end, std::size_t line, std::vector<Field>& out);

  std::string text_;
  std::string path_;
  std::string comment_;
  std::vector<std::string> header_;
  std::vector<Field> fields_;        // rows() * header_.size()
  std::vector<std::uint32_t> line_;  // of each row, from 1
};

// Data rows of a file that nothing else is wanted of: lines that are neither empty, nor comments
// before the header, nor the header. 0 for a file that cannot be read.
std::int64_t count_csv_rows(const std::string& path);

}  // namespace moesim
