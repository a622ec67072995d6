#include "sim/flow/crosscheck.h"

#include <algorithm>
#include <cmath>

#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr double tolerance_s = 2e-12;
constexpr double tolerance_relative = 1e-9;

}  // namespace

CrosscheckResult compare_runs(const RunResult& a, const RunResult& b) {
  ensure(a.tasks.size() == b.tasks.size(), "runs of one graph have the same tasks");
  CrosscheckResult result;
  for (std::size_t i = 0; i < a.tasks.size(); ++i) {
    const double absolute_s = std::abs(a.tasks[i].end_s - b.tasks[i].end_s);
    if (absolute_s == 0.0) {
      continue;
    }
    const double relative = absolute_s / std::max(a.tasks[i].end_s, b.tasks[i].end_s);
    if (absolute_s > result.largest_absolute_s) {
      result.largest_absolute_s = absolute_s;
      result.absolute_task = static_cast<TaskId>(i);
    }
    if (relative > result.largest_relative) {
      result.largest_relative = relative;
      result.relative_task = static_cast<TaskId>(i);
    }
    const bool close = absolute_s <= tolerance_s || relative <= tolerance_relative;
    result.agrees = result.agrees && close;  // also false for NaN
  }
  return result;
}

}  // namespace moesim
