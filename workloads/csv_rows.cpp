#include "workloads/csv_rows.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>

#include "sim/core/config.h"
#include "sim/core/error.h"

namespace moesim::detail {
namespace {

std::vector<std::string_view> split(std::string_view line) {
  std::vector<std::string_view> cells;
  for (;;) {
    const auto comma = line.find(',');
    cells.push_back(line.substr(0, comma));
    if (comma == std::string_view::npos) {
      return cells;
    }
    line.remove_prefix(comma + 1);
  }
}

double number(std::string_view cell, const std::string& where, const std::string& column) {
  double value = 0.0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (error != std::errc{} || end != cell.data() + cell.size() || !std::isfinite(value)) {
    throw ConfigError(where,
                      "column " + column + ": \"" + std::string(cell) + "\" is not a number");
  }
  return value;
}

}  // namespace

std::size_t CsvTable::column(const std::string& name) const {
  const auto found = std::ranges::find(columns, name);
  if (found == columns.end()) {
    throw ConfigError(path + ":1", "no column \"" + name + "\" among: " + joined(columns));
  }
  return static_cast<std::size_t>(found - columns.begin());
}

std::string CsvTable::where(std::size_t row) const { return path + ":" + std::to_string(row + 2); }

std::int64_t CsvTable::integer(std::size_t row, std::size_t column, std::int64_t min,
                               std::int64_t max) const {
  const double value = rows[row][column];
  if (value < static_cast<double>(min) || value > static_cast<double>(max) ||
      value != std::floor(value)) {
    throw ConfigError(where(row), "column " + columns[column] + ": needs a whole number from " +
                                      std::to_string(min) + " to " + std::to_string(max));
  }
  return static_cast<std::int64_t>(value);
}

CsvTable read_csv(const std::string& path) {
  const std::string text = read_text_file(path);
  CsvTable table;
  table.path = path;
  std::string_view rest = text;
  while (!rest.empty()) {
    const auto newline = rest.find('\n');
    std::string_view line = rest.substr(0, newline);
    rest.remove_prefix(newline == std::string_view::npos ? rest.size() : newline + 1);
    if (line.ends_with('\r')) {
      line.remove_suffix(1);
    }
    const auto cells = split(line);
    if (table.columns.empty()) {
      table.columns.assign(cells.begin(), cells.end());
      continue;
    }
    const std::string where = table.where(table.rows.size());
    if (cells.size() != table.columns.size()) {
      throw ConfigError(where, std::to_string(cells.size()) + " cells; the header has " +
                                   std::to_string(table.columns.size()));
    }
    auto& row = table.rows.emplace_back();
    for (std::size_t c = 0; c < cells.size(); ++c) {
      row.push_back(number(cells[c], where, table.columns[c]));
    }
  }
  if (table.rows.empty()) {
    throw ConfigError(path, "has no rows; needs a header line and rows of numbers");
  }
  return table;
}

}  // namespace moesim::detail
