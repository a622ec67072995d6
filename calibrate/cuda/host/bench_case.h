// What all families of benchmarks share: tables, and cases as rows of them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sim/core/units.h"

namespace moesim::bench {

// Number formats, by the names that the published tables use.
enum class Format { float32, tf32, float16, bfloat16, fp8, fp8_block, int8 };
std::string_view name_of(Format format);
// Bytes of a stored value; scales are left out.
double value_bytes(Format format);

// The key columns tell the cases of a table apart; behind them stand latency_ms and the columns
// of result_columns() in every table.
struct Table {
  std::string name;  // of the operation, "gemm": file gemm__moesim-VERSION.csv
  std::vector<std::string> key_columns;
};

// key columns, latency_ms, device, driver, sm_clock_mhz, p10_ms, p90_ms, repeats
std::vector<std::string> result_columns(const Table& table);

struct PlannedCase {
  const Table* table = nullptr;
  std::vector<std::string> key;  // values of table->key_columns
  Bytes device_memory;           // of one device, one set of operands with its scratch space
  int devices = 1;
};

std::string text(std::int64_t value);

}  // namespace moesim::bench
