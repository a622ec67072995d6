// Rows that were predicted and measured, one by one: for tables, plots and errors by regime.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moesim {

// Views live as long as the visitor's call.
struct JudgedPoint {
  std::string_view group;  // as in the validation's report
  std::string_view kernel_source;
  std::span<const std::string_view> dim_names;  // static; of the shape
  std::span<const double> dims;
  double measured_s = 0.0;
  double predicted_s = 0.0;
  double naive_s = 0.0;  // the data sheet's answer
  double sigma = 0.0;    // relative standard error of predicted_s
  bool extrapolated = false;
  std::string_view file;
  std::int64_t line = 0;
};
using PointVisitor = std::function<void(const JudgedPoint&)>;

// Is the measured time between the predicted 10th and 90th percentile?
bool inside_p10_p90(const JudgedPoint& point);

// Names of the dimensions of points about kernels (every kind, each name once) and communication.
std::vector<std::string_view> kernel_point_dims();
inline constexpr std::array<std::string_view, 2> k_collective_dims{"ranks", "bytes"};
inline constexpr std::array<std::string_view, 7> k_all_to_all_dims{
    "ranks", "nodes", "tokens", "hidden", "experts", "top_k", "sms"};
std::vector<std::string_view> comm_point_dims();

// A CSV table with one line per point: group, kernel_source, one column per dimension (empty where
// the shape has none of that name), measured_s, predicted_s, p10_s, p90_s, naive_s, extrapolated
// (0 or 1), file, line.
class PointTable {
 public:
  using Sink = std::function<void(std::string_view line)>;  // the line's end included
  // Writes the header.
  PointTable(Sink out, std::vector<std::string_view> dims);
  // Throws InvariantError for a dimension that the table has no column for.
  void add(const JudgedPoint& point);

 private:
  const std::vector<std::size_t>& columns_of(std::span<const std::string_view> names);

  Sink out_;
  std::vector<std::string_view> dims_;
  std::map<const std::string_view*, std::vector<std::size_t>> columns_;
  std::vector<double> cells_;  // scratch
  std::string line_;           // scratch
};

}  // namespace moesim
