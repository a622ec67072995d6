// All-gather and reduce-scatter of parts of different sizes over a ring (AG-V, RS-V; Parallel
// Folding, arXiv:2504.14960, section 3). In each of n-1 rounds every device passes one part on; a
// round lasts as long as its largest part, and the largest is under way in every round:
//   t = (n-1)(alpha + max part / B)
// A device receives all parts but its own. A ring over several nodes moves at the pace of its
// slowest link. Equal parts: the usual (n-1)/n of the bytes.
#include <algorithm>
#include <numeric>

#include "sim/core/error.h"
#include "sim/engine/exchange/algorithms/communication.h"

namespace moesim {
namespace {

CommPlan ring(const char* name, const CommTask& task, const CommFabric& fabric) {
  const auto n = static_cast<double>(task.devices);
  double largest = 1.0 / n;
  if (!task.parts.empty()) {
    const double sum = std::accumulate(task.parts.begin(), task.parts.end(), 0.0);
    if (static_cast<std::int64_t>(task.parts.size()) != task.devices || !(sum > 0)) {
      throw ConfigError("parts", "needs a size for each of " + std::to_string(task.devices) +
                                     " devices, not all of them 0");
    }
    largest = std::ranges::max(task.parts) / sum;
  }
  const bool inside = devices_in_node(task, fabric) == task.devices;
  return {{{name, inside ? Crossing::node : Crossing::network, task.devices - 1,
            largest * task.bytes}}};
}

}  // namespace

CommPlan ring_all_gather(const CommTask& task, const CommFabric& fabric) {
  return ring("all_gather", task, fabric);
}

CommPlan ring_reduce_scatter(const CommTask& task, const CommFabric& fabric) {
  return ring("reduce_scatter", task, fabric);
}

}  // namespace moesim
