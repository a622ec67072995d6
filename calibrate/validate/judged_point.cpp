#include "calibrate/validate/judged_point.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "models/kernels/kernel_form.h"
#include "sim/core/error.h"
#include "sim/engine/results/uncertainty.h"

namespace moesim {
namespace {

void add_names(std::vector<std::string_view>& all, std::span<const std::string_view> names) {
  for (const std::string_view name : names) {
    if (std::ranges::find(all, name) == all.end()) {
      all.push_back(name);
    }
  }
}

// Quoted where a comma or quote would split it.
void append_text(std::string& line, std::string_view text) {
  if (text.find_first_of(",\"\n") == std::string_view::npos) {
    line += text;
    return;
  }
  line += '"';
  for (const char c : text) {
    line.append(c == '"' ? 2 : 1, c);
  }
  line += '"';
}

// Counts in full, all else with seven digits.
void append_number(std::string& line, double value) {
  constexpr int digits = 7;
  constexpr double largest_exact = 0x1p53;
  std::array<char, 32> text{};
  const bool whole = value == std::trunc(value) && std::abs(value) <= largest_exact;
  char* last = text.data() + text.size();
  const auto end =
      whole ? std::to_chars(text.data(), last, static_cast<std::int64_t>(value))
            : std::to_chars(text.data(), last, value, std::chars_format::general, digits);
  line.append(text.data(), end.ptr);
}

}  // namespace

bool inside_p10_p90(const JudgedPoint& point) {
  const Interval range = p10_p90(point.predicted_s, point.sigma);
  return range.p10 <= point.measured_s && point.measured_s <= range.p90;
}

std::vector<std::string_view> kernel_point_dims() {
  std::vector<std::string_view> all;
  for (std::size_t kind = 0; kind < k_kernel_kinds; ++kind) {
    add_names(all, dim_names(static_cast<KernelKind>(kind)).names);
  }
  return all;
}

std::vector<std::string_view> comm_point_dims() {
  std::vector<std::string_view> all;
  add_names(all, k_collective_dims);
  add_names(all, k_all_to_all_dims);
  return all;
}

PointTable::PointTable(Sink out, std::vector<std::string_view> dims)
    : out_(std::move(out)), dims_(std::move(dims)) {
  line_ = "group,kernel_source";
  for (const std::string_view name : dims_) {
    line_.append(",").append(name);
  }
  line_ += ",measured_s,predicted_s,p10_s,p90_s,naive_s,extrapolated,file,line\n";
  out_(line_);
}

const std::vector<std::size_t>& PointTable::columns_of(std::span<const std::string_view> names) {
  const auto [entry, is_new] = columns_.try_emplace(names.data());
  if (is_new) {
    for (const std::string_view name : names) {
      const auto column = std::ranges::find(dims_, name);
      ensure(column != dims_.end(), "a table of points has a column for every dimension");
      entry->second.push_back(static_cast<std::size_t>(column - dims_.begin()));
    }
  }
  return entry->second;
}

void PointTable::add(const JudgedPoint& point) {
  const auto& columns = columns_of(point.dim_names);
  cells_.assign(dims_.size(), std::numeric_limits<double>::quiet_NaN());
  for (std::size_t i = 0; i < columns.size(); ++i) {
    cells_[columns[i]] = point.dims[i];
  }
  line_.clear();
  append_text(line_, point.group);
  line_ += ',';
  append_text(line_, point.kernel_source);
  for (const double value : cells_) {
    line_ += ',';
    if (!std::isnan(value)) {
      append_number(line_, value);
    }
  }
  const Interval range = p10_p90(point.predicted_s, point.sigma);
  for (const double seconds :
       {point.measured_s, point.predicted_s, range.p10, range.p90, point.naive_s}) {
    line_ += ',';
    append_number(line_, seconds);
  }
  line_ += point.extrapolated ? ",1," : ",0,";
  append_text(line_, point.file);
  line_.append(",").append(std::to_string(point.line)).append("\n");
  out_(line_);
}

}  // namespace moesim
