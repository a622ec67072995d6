#include "calibrate/cpu/host_tables.h"

#include "calibrate/cpu/micro_case.h"
#include "sim/core/error.h"
#include "sim/core/output_file.h"

namespace moesim {
namespace {

std::string path_of(const std::string& folder, std::string_view family) {
  return folder + "/" + std::string(family) + ".csv";
}

}  // namespace

std::string machine_of(const std::string& source) { return source.substr(0, source.rfind(", ")); }

std::vector<HostTable> read_host_tables(const std::string& folder) {
  std::vector<HostTable> tables;
  for (const MicroFamily& family : micro_families()) {
    if (!family.for_profile) {
      continue;
    }
    const std::string path = path_of(folder, family.name);
    tables.push_back({std::string(family.name), read_micro_table(path)});
    const HostTable& first = tables.front();
    const std::string here = machine_of(tables.back().table.source);
    if (here != machine_of(first.table.source)) {
      throw ConfigError(path + ":1:1", "is of the machine \"" + here + "\", but " +
                                           path_of(folder, first.family) + " of \"" +
                                           machine_of(first.table.source) +
                                           "\"; a profile needs tables of one machine");
    }
  }
  return tables;
}

void write_host_tables(const std::vector<HostTable>& tables, const std::string& folder) {
  for (const HostTable& one : tables) {
    write_text_file(path_of(folder, one.family), micro_table_text(one.table));
  }
}

std::vector<MicroRow> rows_of(const std::vector<HostTable>& tables) {
  std::vector<MicroRow> rows;
  for (const HostTable& one : tables) {
    rows.insert(rows.end(), one.table.rows.begin(), one.table.rows.end());
  }
  return rows;
}

}  // namespace moesim
