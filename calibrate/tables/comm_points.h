// Points of expert-parallel all-to-all that others published: one table of many devices, fabrics
// and libraries, known by its header.
#pragma once

#include <string>
#include <vector>

#include "calibrate/tables/comm_rows.h"
#include "calibrate/tables/comm_table.h"

namespace moesim {

// Does a header (names with commas between) have all that such a table needs?
bool is_point_header(std::string_view line);

struct MeasuredPoint {
  CommRow row;
  double seconds = 0.0;
  std::string skip;  // why it says nothing; empty: it does
};

// One per line. `seconds` is the time that is told, or the told bandwidth's bytes over it: which
// bytes, says bw_kind. Throws ConfigError for damaged tables.
std::vector<MeasuredPoint> read_points(const MeasuredTable& table,
                                       const std::vector<CommProfile>& systems);

}  // namespace moesim
