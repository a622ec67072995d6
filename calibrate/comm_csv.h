// Measured tables: one "#" line that names the source, one header line, then rows.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace moesim {

struct CommTable {
  std::string path;
  std::string source;  // of the "#" line, without "# source: "
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;

  // Throws ConfigError naming file and line when the column does not exist or is not a number.
  [[nodiscard]] const std::string& text(std::size_t row, std::string_view column) const;
  [[nodiscard]] double number(std::size_t row, std::string_view column) const;
};

// No quoting: the tables have none. Throws ConfigError for ragged rows.
CommTable read_comm_table(const std::string& path);

}  // namespace moesim
