// A table of measured rows that is complete on disk at any time and can be taken up again.
#pragma once

#include <set>
#include <span>
#include <string>
#include <vector>

namespace moesim::bench {

class ResultFile {
 public:
  // Takes up the rows of `path` if it exists. `key_columns`: how many columns, from the left, tell
  // cases apart. `device`: of this run; stands in the column "device". Throws ConfigError when the
  // file is damaged, has another header, or holds rows of another device.
  ResultFile(std::string path, std::string comment, const std::vector<std::string>& columns,
             std::size_t key_columns, const std::string& device);

  [[nodiscard]] bool has(std::span<const std::string> key) const;
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::size_t rows() const { return keys_.size(); }

  // Writes the whole file anew through a rename, so that a partial line never remains. Throws
  // ConfigError when the row's length is not the header's or its key is there already,
  // std::system_error when the file cannot be written.
  void add(const std::vector<std::string>& row);

 private:
  void take_up(const std::vector<std::string>& columns, const std::string& device);

  std::string path_;
  std::size_t columns_;
  std::size_t key_columns_;
  std::string text_;
  std::set<std::string> keys_;
};

// Fields with commas are quoted; quotes and line ends inside become blanks, since the tables'
// reader knows no escapes.
std::string csv_line(std::span<const std::string> fields);

}  // namespace moesim::bench
