#include "sim/reproduce/run_kinds.h"

#include <algorithm>
#include <array>

#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr std::array kinds{
    RunKind{"simulate", "a step or training iteration of a scenario", run_simulate},
    RunKind{"communication", "a communication algorithm over a cluster", run_communication},
    RunKind{"flows", "equal flows over a leaf-spine fabric", run_flows},
    RunKind{"layer_grid", "a chunked chain of phases on streams, over a grid", run_layer_grid},
    RunKind{"paths", "a pipeline whose micro-batches go their own ways", run_paths},
    RunKind{"model", "parameters and bytes of a model", run_model},
};

}  // namespace

std::span<const RunKind> run_kinds() { return kinds; }

std::vector<std::string_view> run_kind_names() {
  std::vector<std::string_view> names;
  for (const RunKind& kind : kinds) {
    names.push_back(kind.name);
  }
  return names;
}

const RunKind& run_kind(std::string_view name) {
  const auto found = std::ranges::find(kinds, name, &RunKind::name);
  ensure(found != kinds.end(), "a parsed run's kind is in the table");
  return *found;
}

}  // namespace moesim
