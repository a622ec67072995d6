#include "calibrate/cuda/host/bench_case.h"

#include <array>

namespace moesim::bench {
namespace {

struct FormatRow {
  std::string_view name;
  double bytes;
};
constexpr std::array format_rows{FormatRow{"float32", 4}, FormatRow{"tf32", 4},
                                 FormatRow{"float16", 2}, FormatRow{"bfloat16", 2},
                                 FormatRow{"fp8", 1},     FormatRow{"fp8_block", 1},
                                 FormatRow{"int8", 1}};

const FormatRow& row_of(Format format) { return format_rows.at(static_cast<std::size_t>(format)); }

}  // namespace

std::string_view name_of(Format format) { return row_of(format).name; }

double value_bytes(Format format) { return row_of(format).bytes; }

std::vector<std::string> result_columns(const Table& table) {
  std::vector<std::string> columns = table.key_columns;
  for (const char* name :
       {"latency_ms", "device", "driver", "sm_clock_mhz", "p10_ms", "p90_ms", "repeats"}) {
    columns.emplace_back(name);
  }
  return columns;
}

std::string text(std::int64_t value) { return std::to_string(value); }

}  // namespace moesim::bench
