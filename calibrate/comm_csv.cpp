#include "calibrate/comm_csv.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>

#include "sim/core/config.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> fields;
  std::string field;
  for (const char c : line) {
    if (c == ',') {
      fields.push_back(field);
      field.clear();
    } else if (c != '\r') {
      field += c;
    }
  }
  fields.push_back(field);
  return fields;
}

}  // namespace

CommTable read_comm_table(const std::string& path) {
  constexpr std::string_view prefix = "# source: ";
  CommTable table;
  table.path = path;
  std::istringstream lines(read_text_file(path));
  std::size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.starts_with('#')) {
      table.source = line.starts_with(prefix) ? line.substr(prefix.size()) : line.substr(1);
    } else if (table.columns.empty()) {
      table.columns = split(line);
    } else if (!line.empty()) {
      table.rows.push_back(split(line));
      if (table.rows.back().size() != table.columns.size()) {
        throw ConfigError(path + ":" + std::to_string(number),
                          "has another number of fields than the header");
      }
    }
  }
  return table;
}

const std::string& CommTable::text(std::size_t row, std::string_view column) const {
  const auto found = std::ranges::find(columns, column);
  if (found == columns.end()) {
    throw ConfigError(path, "has no column \"" + std::string(column) + "\"");
  }
  return rows[row][static_cast<std::size_t>(found - columns.begin())];
}

double CommTable::number(std::size_t row, std::string_view column) const {
  const std::string& field = text(row, column);
  double value = 0.0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
  if (error != std::errc() || end != field.data() + field.size() || !std::isfinite(value)) {
    throw ConfigError(path + ", row " + std::to_string(row + 1),
                      "\"" + field + "\" in column " + std::string(column) + " is not a number");
  }
  return value;
}

}  // namespace moesim
