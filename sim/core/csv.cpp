#include "sim/core/csv.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <limits>

#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/core/quantity_text.h"

namespace moesim {
namespace {

std::string place(const std::string& path, std::size_t line, std::string_view column) {
  return path + ":" + std::to_string(line) + ":" + std::string(column);
}

std::string in_quotes(std::string_view text) { return "\"" + std::string(text) + "\""; }

}  // namespace

CsvTable CsvTable::read(const std::string& path) { return parse(read_text_file(path), path); }

// The end of the field that starts at `begin`: a comma or the line's end; commas inside double
// quotes do not count.
void CsvTable::split_line(std::size_t begin, std::size_t end, std::size_t line,
                          std::vector<Field>& out) {
  std::size_t at = begin;
  for (;;) {
    std::size_t first = at;
    std::size_t last = 0;
    if (at < end && text_[at] == '"') {
      first = at + 1;
      last = text_.find('"', first);
      if (last == std::string::npos || last >= end) {
        throw ConfigError(place(path_, line, std::to_string(at - begin + 1)),
                          "a quoted field has no closing quote");
      }
      at = last + 1;
      if (at < end && text_[at] != ',') {
        throw ConfigError(place(path_, line, std::to_string(at - begin + 1)),
                          "expected a comma after a quoted field");
      }
    } else {
      at = std::min(text_.find(',', at), end);
      last = at;
    }
    out.push_back({static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(last - first)});
    if (at >= end) {
      return;
    }
    ++at;
  }
}

void CsvTable::name_columns(const std::vector<Field>& header, std::size_t line) {
  for (const Field& field : header) {
    const std::string name = text_.substr(field.begin, field.size);
    if (name.empty() || std::ranges::find(header_, name) != header_.end()) {
      throw ConfigError(place(path_, line, std::to_string(header_.size() + 1)),
                        "column name " + in_quotes(name) + " is empty or repeated");
    }
    header_.push_back(name);
  }
}

void CsvTable::add_row(std::size_t begin, std::size_t end, std::size_t line) {
  const std::size_t before = fields_.size();
  split_line(begin, end, line, fields_);
  const std::size_t found = fields_.size() - before;
  if (found != header_.size()) {
    throw ConfigError(
        place(path_, line, std::to_string(found)),
        std::to_string(found) + " fields; the header has " + std::to_string(header_.size()));
  }
  line_.push_back(static_cast<std::uint32_t>(line));
}

CsvTable CsvTable::parse(std::string text, std::string path) {
  CsvTable table;
  table.text_ = std::move(text);
  table.path_ = std::move(path);
  if (table.text_.size() > std::numeric_limits<std::uint32_t>::max()) {
    throw ConfigError(table.path_, "larger than 4 GiB; split the table");
  }
  std::size_t line = 0;
  std::vector<Field> header;
  for (std::size_t at = 0; at < table.text_.size();) {
    std::size_t end = std::min(table.text_.find('\n', at), table.text_.size());
    const std::size_t next = end + 1;
    ++line;
    if (end > at && table.text_[end - 1] == '\r') {
      --end;
    }
    if (end == at) {
      at = next;
      continue;
    }
    if (header.empty() && table.text_[at] == '#') {
      table.comment_.append(table.text_, at + 1, end - at - 1).push_back('\n');
    } else if (header.empty()) {
      table.split_line(at, end, line, header);
      table.name_columns(header, line);
    } else {
      table.add_row(at, end, line);
    }
    at = next;
  }
  if (table.header_.empty()) {
    throw ConfigError(place(table.path_, line, "1"), "no header line");
  }
  return table;
}

bool CsvTable::has(std::string_view column) const {
  return std::ranges::find(header_, column) != header_.end();
}

std::size_t CsvTable::column(std::string_view name) const {
  const auto found = std::ranges::find(header_, name);
  if (found == header_.end()) {
    throw ConfigError(path_, "no column " + in_quotes(name) + "; there are: " + joined(header_));
  }
  return static_cast<std::size_t>(found - header_.begin());
}

void CsvTable::check_header(std::span<const std::string> expected) const {
  if (!std::ranges::equal(header_, expected)) {
    throw ConfigError(path_,
                      "the header is " + joined(header_) + "; this layout has " + joined(expected));
  }
}

void CsvTable::check_has_rows() const {
  if (rows() == 0) {
    throw ConfigError(path_, "has no rows below its header");
  }
}

std::string_view CsvTable::text(std::size_t row, std::size_t column) const {
  const Field& field = fields_.at(row * header_.size() + column);
  return std::string_view(text_).substr(field.begin, field.size);
}

double CsvTable::number(std::size_t row, std::size_t column) const {
  const std::string_view field = text(row, column);
  double value = 0;
  const auto result = std::from_chars(field.data(), field.data() + field.size(), value);
  if (result.ec != std::errc() || result.ptr != field.data() + field.size() ||
      !std::isfinite(value)) {
    fail(row, column, "is not a finite number");
  }
  return value;
}

double CsvTable::positive(std::size_t row, std::size_t column) const {
  const double value = number(row, column);
  if (value <= 0) {
    fail(row, column, "must be greater than 0");
  }
  return value;
}

double CsvTable::number(std::size_t row, std::size_t column, double min, double max) const {
  const double value = number(row, column);
  if (value < min || value > max) {
    fail(row, column, "is not within " + format_number(min) + " to " + format_number(max));
  }
  return value;
}

std::int64_t CsvTable::count(std::size_t row, std::size_t column, std::int64_t min,
                             std::int64_t max) const {
  const std::string_view field = text(row, column);
  std::int64_t value = 0;
  const auto result = std::from_chars(field.data(), field.data() + field.size(), value);
  if (result.ec != std::errc() || result.ptr != field.data() + field.size() || value < min ||
      value > max) {
    fail(row, column,
         "is not a whole number from " + std::to_string(min) + " to " + std::to_string(max));
  }
  return value;
}

void CsvTable::fail(std::size_t row, std::size_t column, std::string_view what) const {
  throw ConfigError(place(path_, line_.at(row), header_.at(column)),
                    in_quotes(text(row, column)) + " " + std::string(what));
}

std::int64_t count_csv_rows(const std::string& path) {
  std::ifstream in(path);
  std::int64_t rows = -1;  // the header
  for (std::string line; std::getline(in, line);) {
    const bool comment = rows < 0 && !line.empty() && line[0] == '#';
    rows += line.empty() || line == "\r" || comment ? 0 : 1;
  }
  return std::max<std::int64_t>(rows, 0);
}

}  // namespace moesim
