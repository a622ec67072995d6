#include "calibrate/cpu/micro_rows.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "sim/core/config.h"
#include "sim/core/csv.h"
#include "sim/core/error.h"
#include "sim/core/quantity_text.h"

namespace moesim {
namespace {

constexpr std::array<std::string_view, 12> k_columns{
    "kernel", "threads", "rows",   "n",   "k",   "working_set_bytes",
    "depth",  "unit",    "median", "p10", "p90", "repeats"};
// Behind the others, and only there since times are told from quantiles.
constexpr std::string_view k_time = "time";
constexpr std::string_view k_source = " source:";

constexpr std::int64_t k_most_size = std::int64_t{1} << 40;
constexpr double k_most_elements = 0x1p50;  // of a product of two sizes
constexpr std::int64_t k_most_threads = 1024;
constexpr std::int64_t k_most_depth = 1'000'000;
constexpr double k_least_s = 1e-12;
constexpr double k_most_s = 1e6;

// Which sizes the kernels have, by the start of their names; the others may be 0.
struct Sizes {
  std::string_view kernels;
  bool rows;
  bool n;
  bool k;
  bool working_set;
};
constexpr std::array k_sizes{
    Sizes{"gemm_", true, true, true, false},     Sizes{"expert", true, true, true, true},
    Sizes{"gate", true, true, true, true},       Sizes{"dispatch_", true, false, true, false},
    Sizes{"combine_", true, false, true, false}, Sizes{"attention_", true, true, true, false},
    Sizes{"disk_", false, true, false, true},    Sizes{"stream_", false, false, false, true},
    Sizes{"memcpy", false, false, false, true}};

Sizes sizes_of(std::string_view kernel) {
  for (const Sizes& sizes : k_sizes) {
    if (kernel.starts_with(sizes.kernels)) {
      return sizes;
    }
  }
  return {};
}

std::string source_of(const CsvTable& csv) {
  const std::string& comment = csv.comment();
  const auto at = comment.find(k_source);
  if (at == std::string::npos) {
    throw ConfigError(csv.path() + ":1:1", "no comment line \"# source: ...\" before the header");
  }
  const auto begin = comment.find_first_not_of(' ', at + k_source.size());
  const auto end = comment.find('\n', at);
  return begin >= end ? "" : comment.substr(begin, end - begin);
}

}  // namespace

std::string micro_table_text(const MicroTable& table) {
  std::string text = "# source: " + table.source + "\n";
  for (const std::string_view column : k_columns) {
    text += std::string(column) + ",";
  }
  text += std::string(k_time) + "\n";
  for (const MicroRow& row : table.rows) {
    const MicroKey& key = row.key;
    text += key.kernel + "," + std::to_string(key.threads) + "," + std::to_string(key.rows) + "," +
            std::to_string(key.n) + "," + std::to_string(key.k) + "," +
            std::to_string(key.working_set_bytes) + "," + std::to_string(key.depth) + ",s," +
            format_number(row.median_s) + "," + format_number(row.p10_s) + "," +
            format_number(row.p90_s) + "," + std::to_string(row.repeats) + "," +
            format_number(row.fitted_s()) + "\n";
  }
  return text;
}

MicroTable parse_micro_table(const std::string& text, const std::string& path) {
  const CsvTable csv = CsvTable::parse(text, path);
  std::array<std::size_t, k_columns.size()> column{};
  for (std::size_t c = 0; c < k_columns.size(); ++c) {
    column.at(c) = csv.column(k_columns.at(c));
  }
  const bool has_time = csv.has(k_time);
  const std::size_t time = has_time ? csv.column(k_time) : 0;
  if (csv.columns() != k_columns.size() + (has_time ? 1 : 0)) {
    throw ConfigError(path, "has columns that no microbenchmark writes; allowed: " +
                                joined(k_columns) + ", " + std::string(k_time));
  }
  MicroTable table{source_of(csv), {}};
  std::set<MicroKey> seen;
  for (std::size_t r = 0; r < csv.rows(); ++r) {
    const auto whole = [&](std::size_t c, std::int64_t min, std::int64_t max) {
      return csv.count(r, column.at(c), min, max);
    };
    const auto seconds = [&](std::size_t at) {
      const double value = csv.positive(r, at);
      if (value < k_least_s || value > k_most_s) {
        csv.fail(r, at, "is no time of a call; they are from 1e-12 to 1e6 s");
      }
      return value;
    };
    const Sizes sizes = sizes_of(csv.text(r, column[0]));
    MicroRow row;
    row.key = {std::string(csv.text(r, column[0])),
               static_cast<int>(whole(1, 1, k_most_threads)),
               whole(2, sizes.rows ? 1 : 0, k_most_size),
               whole(3, sizes.n ? 1 : 0, k_most_size),
               whole(4, sizes.k ? 1 : 0, k_most_size),
               whole(5, sizes.working_set ? 1 : 0, k_most_size),
               static_cast<int>(whole(6, 1, k_most_depth))};
    if (static_cast<double>(std::max(row.key.rows, row.key.n)) * static_cast<double>(row.key.k) >
        k_most_elements) {
      csv.fail(r, column[4], "makes, with rows or n, a matrix of more than 2^50 elements");
    }
    if (csv.text(r, column[7]) != "s") {
      csv.fail(r, column[7], "is not the unit of times here; write seconds and s");
    }
    row.median_s = seconds(column[8]);
    row.p10_s = seconds(column[9]);
    row.p90_s = seconds(column[10]);
    row.repeats = whole(11, 1, k_most_size);
    row.time_s = has_time ? seconds(time) : 0.0;
    if (row.p10_s > row.median_s) {
      csv.fail(r, column[9], "is above the median");
    }
    if (row.p90_s < row.median_s) {
      csv.fail(r, column[10], "is below the median");
    }
    if (!seen.insert(row.key).second) {
      csv.fail(r, column[0], "repeats a case that an earlier line has");
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

MicroTable read_micro_table(const std::string& path) {
  return parse_micro_table(read_text_file(path), path);
}

}  // namespace moesim
