// Parallelism-coordinated communication, PCC (DeepSpeed-MoE, arXiv:2201.05596, section 5.3). The L
// ranks of a tensor-parallel group hold the same tokens, so each sends 1/L of them, and only to
// devices of its own tensor-parallel rank; an all-gather over the group restores all tokens.
//   p C1 + C2  ->  p/L C1 + (all-gather over L) + C2
// Messages stay S/p; tensor-parallel groups lie inside nodes.
#include "sim/core/error.h"
#include "sim/engine/exchange/algorithms/communication.h"

namespace moesim {

CommPlan coordinated_all_to_all(const CommTask& task, const CommFabric& fabric) {
  const std::int64_t m = devices_in_node(task, fabric);
  if (task.tensor < 1 || m % task.tensor != 0) {
    throw ConfigError("tensor", std::to_string(task.tensor) +
                                    " does not divide the group's devices in a node, " +
                                    std::to_string(m));
  }
  const std::int64_t peers = task.devices / task.tensor;
  const std::int64_t local = m / task.tensor;
  const Bytes message = (1.0 / static_cast<double>(task.devices)) * task.bytes;
  const Bytes part = (1.0 / static_cast<double>(task.tensor)) * task.bytes;
  return {{{"own", Crossing::memory, 1, message},
           {"node", Crossing::node, local - 1, message},
           {"network", Crossing::network, peers - local, message},
           {"all_gather", Crossing::node, task.tensor - 1, part}}};
}

}  // namespace moesim
