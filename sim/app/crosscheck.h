// The two backends, side by side on one graph.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "sim/app/simulate.h"
#include "sim/flow/backend.h"

namespace moesim {

std::unique_ptr<Backend> make_backend(BackendKind kind);

// Runs the graph on the other backend as well.
CrosscheckReport crosscheck_run(const TaskGraph& graph, const RunResult& result,
                                BackendKind backend);

nlohmann::json to_json(const CrosscheckReport& report);

}  // namespace moesim
