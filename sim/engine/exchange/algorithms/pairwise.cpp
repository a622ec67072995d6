// Flat all-to-all: every device sends S / n to every other, one message after the other; its own
// block is a copy.
//   t = copy(S/n) + (m-1)(alpha_node + S/n / B_node) + (n-m)(alpha_net + S/n / B_net)
// n: devices, m: of them in one node. NCCL's send/recv all-to-all (Tutel, arXiv:2206.03382, section
// 3.4: "n messages of S/n"); DeepSpeed-MoE counts its n messages as p C1 (arXiv:2201.05596, 5.3).
#include "sim/engine/exchange/algorithms/communication.h"

namespace moesim {

CommPlan pairwise_all_to_all(const CommTask& task, const CommFabric& fabric) {
  const std::int64_t m = devices_in_node(task, fabric);
  const Bytes message = (1.0 / static_cast<double>(task.devices)) * task.bytes;
  return {{{"own", Crossing::memory, 1, message},
           {"node", Crossing::node, m - 1, message},
           {"network", Crossing::network, task.devices - m, message}}};
}

}  // namespace moesim
