#include "calibrate/cuda/host/result_file.h"

#include <filesystem>

#include "sim/core/config.h"
#include "sim/core/csv.h"
#include "sim/core/error.h"
#include "sim/core/output_file.h"

namespace moesim::bench {
namespace {

// The first line that is no comment, without its end.
std::string_view header_of(std::string_view text) {
  while (text.starts_with('#')) {
    const std::size_t end = text.find('\n');
    text = end == std::string_view::npos ? "" : text.substr(end + 1);
  }
  return text.substr(0, text.find('\n'));
}

}  // namespace

std::string csv_line(std::span<const std::string> fields) {
  std::string line;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    std::string field = fields[i];
    for (char& c : field) {
      c = c == '"' || c == '\n' || c == '\r' ? ' ' : c;
    }
    if (field.find(',') != std::string::npos) {
      field = "\"" + field + "\"";
    }
    line += (i == 0 ? "" : ",") + field;
  }
  return line + "\n";
}

ResultFile::ResultFile(std::string path, std::string comment,
                       const std::vector<std::string>& columns, std::size_t key_columns,
                       const std::string& device)
    : path_(std::move(path)), columns_(columns.size()), key_columns_(key_columns) {
  ensure(key_columns > 0 && key_columns <= columns.size(), "the key is part of the columns");
  if (std::filesystem::exists(path_)) {
    take_up(columns, device);
  } else {
    text_ = "# " + std::move(comment) + "\n" + csv_line(columns);
  }
}

void ResultFile::take_up(const std::vector<std::string>& columns, const std::string& device) {
  text_ = read_text_file(path_);
  const std::string expected = csv_line(columns);
  if (std::string(header_of(text_)) + "\n" != expected) {
    throw ConfigError(path_, "has another header than this program writes (" +
                                 expected.substr(0, expected.size() - 1) +
                                 "); move the file away or give another --out");
  }
  const CsvTable table = CsvTable::parse(text_, path_);
  const std::size_t device_column = table.column("device");
  for (std::size_t row = 0; row < table.rows(); ++row) {
    if (table.text(row, device_column) != device) {
      table.fail(row, device_column,
                 "is another device than this one (" + device + "); give another --out");
    }
    std::vector<std::string> key;
    for (std::size_t i = 0; i < key_columns_; ++i) {
      key.emplace_back(table.text(row, i));
    }
    keys_.insert(csv_line(key));
  }
  if (!text_.ends_with('\n')) {
    text_ += '\n';
  }
}

bool ResultFile::has(std::span<const std::string> key) const {
  return keys_.contains(csv_line(key));
}

void ResultFile::add(const std::vector<std::string>& row) {
  if (row.size() != columns_) {
    throw ConfigError(path_, "a row of " + std::to_string(row.size()) + " fields; the header has " +
                                 std::to_string(columns_));
  }
  const std::string key = csv_line(std::span(row).first(key_columns_));
  if (keys_.contains(key)) {
    throw ConfigError(path_, "this case is measured already: " + key.substr(0, key.size() - 1));
  }
  const std::string longer = text_ + csv_line(row);
  write_text_file(path_, longer);
  text_ = longer;
  keys_.insert(key);
}

}  // namespace moesim::bench
