// A folder of tables that profiles are fitted to: one FAMILY.csv for every family with
// `for_profile`, all of one machine.
#pragma once

#include <string>
#include <vector>

#include "calibrate/cpu/micro_rows.h"

namespace moesim {

struct HostTable {
  std::string family;
  MicroTable table;
};

// "AMD EPYC, 2 processors, OpenBLAS 0.3.21 Haswell" of a source line: all but the date.
std::string machine_of(const std::string& source);

// Throws ConfigError with file, line and column as parse_micro_table does, and for tables of
// different machines.
std::vector<HostTable> read_host_tables(const std::string& folder);
void write_host_tables(const std::vector<HostTable>& tables, const std::string& folder);

// Every row of every table.
std::vector<MicroRow> rows_of(const std::vector<HostTable>& tables);

}  // namespace moesim
