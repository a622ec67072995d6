// Published peaks of GPU memory of training runs against what sim/training expects.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "sim/core/csv.h"
#include "sim/training/megatron_arguments.h"

namespace moesim {

struct JudgedMemory {
  std::string id;
  std::string family;  // as the table names it: "moe", "mixtral"
  std::string system;  // catalog name of the device; "unstated"
  std::string quality;
  std::uint32_t line = 0;
  double measured_bytes = 0;  // largest allocated, on the last rank
  double predicted_bytes = 0;
  double naive_bytes = 0;
  double measured_static_bytes = 0;  // allocated between steps; 0: not stated
  double predicted_static_bytes = 0;
};

struct MemoryPoints {
  std::vector<JudgedMemory> points;
  std::map<std::string, std::int64_t> skipped;  // reason -> rows
};

// Is this the header of such a table?
bool is_training_memory(const CsvTable& table);

// Every row's columns are Megatron-LM arguments under other names (README.md); nothing is fitted to
// it. The last rank's stage is judged, with the largest value over the run. Throws ConfigError for
// damaged cells.
MemoryPoints judge_training_memory(const CsvTable& table);

// The arguments that a row states.
MegatronArguments memory_row_arguments(const CsvTable& table, std::size_t row);

}  // namespace moesim
