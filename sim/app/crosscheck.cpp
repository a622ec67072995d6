#include "sim/app/crosscheck.h"

#include <nlohmann/json.hpp>

#include "sim/flow/crosscheck.h"
#include "sim/simgrid/simgrid_backend.h"

namespace moesim {
namespace {

std::string_view name_of(BackendKind kind) {
  return kind == BackendKind::fast ? "fast" : "simgrid";
}

BackendKind other(BackendKind kind) {
  return kind == BackendKind::fast ? BackendKind::simgrid : BackendKind::fast;
}

}  // namespace

std::unique_ptr<Backend> make_backend(BackendKind kind) {
  return kind == BackendKind::fast ? make_fast_backend() : make_simgrid_backend();
}

CrosscheckReport crosscheck_run(const TaskGraph& graph, const RunResult& result,
                                BackendKind backend) {
  const RunResult again = make_backend(other(backend))->run(graph, false);
  const CrosscheckResult difference = compare_runs(result, again);
  return {.backends = {name_of(backend), name_of(other(backend))},
          .tasks = result.tasks.size(),
          .max_absolute_s = difference.largest_absolute_s,
          .max_relative = difference.largest_relative,
          .agree = difference.agrees};
}

nlohmann::json to_json(const CrosscheckReport& report) {
  return {{"backends", report.backends},
          {"tasks", report.tasks},
          {"max_absolute_s", report.max_absolute_s},
          {"max_relative", report.max_relative},
          {"agree", report.agree}};
}

}  // namespace moesim
