// What the readers of the measured layouts share: one table in, rows of kernel models out.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "calibrate/tables/kernel_rows.h"
#include "calibrate/tables/row_check.h"
#include "sim/core/csv.h"

namespace moesim::detail {

// A number format as the published tables name it.
struct Format {
  std::string_view data_name;
  DType dtype;
  DType storage;
  std::string_view our_name;
};
const Format* find_format(std::string_view name);

std::uint64_t hash_of(std::initializer_list<std::int64_t> values);

inline double number(std::int64_t value) { return static_cast<double>(value); }

// One measured time and what was timed.
struct Measurement {
  KernelShape shape;
  double seconds = 0;
  std::string source;  // name of the kernel
  std::string group;   // RowReader::group
  std::uint64_t shape_group = 0;
  std::uint64_t other_group = 0;
  bool checkable = true;                  // the work is known exactly
  bool products_alone = false;            // see KernelRow
  std::optional<KernelShape> ideal = {};  // the naive roofline's, where it is not `shape`
};

class RowReader {
 public:
  RowReader(const CsvTable& table, const DevicePeaks& device, KernelRows& out, LoadGenerator& loads)
      : table_(table), device_(device), out_(out), loads_(loads), times_(table) {}

  [[nodiscard]] const CsvTable& table() const { return table_; }
  [[nodiscard]] const DevicePeaks& device() const { return device_; }
  [[nodiscard]] const MeasuredFile& file() const { return out_.file; }
  [[nodiscard]] LoadGenerator& loads() { return loads_; }

  void add(std::size_t row, const Measurement& measured);
  // After the last row. Throws ConfigError for times that cannot be in the unit they say.
  void finish() const { times_.finish(); }
  void skip(const std::string& reason) { ++out_.skipped[reason]; }

  // "operation/framework/system/rest".
  [[nodiscard]] std::string group(std::string_view operation, std::string_view rest) const;

  // The format of a column, or nullptr after the row was counted as skipped.
  const Format* format(std::size_t row, std::size_t column);
  // True, or false after the row was counted as skipped: the device has no rate for it.
  bool computes(DType dtype, std::string_view name);

  // A column of times in `unit` ("us"). Throws ConfigError, saying which unit was found instead.
  [[nodiscard]] std::size_t time_column(std::string_view stem, std::string_view unit) const;

 private:
  const CsvTable& table_;
  const DevicePeaks& device_;
  KernelRows& out_;
  LoadGenerator& loads_;
  TimeCheck times_;
};

// One file that holds times of one operation.
using ReadRows = void (*)(RowReader&);

// Readers by layout; the table of operations is in kernel_rows.cpp.
void read_gemm(RowReader& reader);
void read_context_attention(RowReader& reader);
void read_generation_attention(RowReader& reader);
void read_mla_bmm(RowReader& reader);
void read_computescale(RowReader& reader);
void read_scale_matrix(RowReader& reader);

void read_context_mla(RowReader& reader);
void read_generation_mla(RowReader& reader);
void read_mla_context_module(RowReader& reader);
void read_mla_generation_module(RowReader& reader);

void read_moe(RowReader& reader);
void read_wideep_moe(RowReader& reader);
void read_wideep_context_moe(RowReader& reader);
void read_wideep_generation_moe(RowReader& reader);
void read_wideep_mlp(RowReader& reader);

void read_infersim_gemm(RowReader& reader);
void read_infersim_grouped_gemm(RowReader& reader);
void read_infersim_mha(RowReader& reader);
void read_infersim_mla(RowReader& reader);
void read_infersim_dsa(RowReader& reader);
void read_infersim_gdn(RowReader& reader);
// Numbers of "32-8-128". Empty when there are others than `count` whole numbers.
std::vector<std::int64_t> widths_of(std::string_view subject, std::size_t count);

void read_llmservingsim_dense(RowReader& reader);
void read_llmservingsim_per_sequence(RowReader& reader);
void read_llmservingsim_attention(RowReader& reader);
void read_llmservingsim_moe(RowReader& reader);

void read_frontier_moe(RowReader& reader);
void read_frontier_attention(RowReader& reader);
void read_frontier_linear(RowReader& reader);

void read_vidur_mlp(RowReader& reader);

// Exponent of "power_law_1.2", 0 for "balanced" or "uniform"; nullopt for another law.
std::optional<double> exponent_of(std::string_view distribution);

}  // namespace moesim::detail
