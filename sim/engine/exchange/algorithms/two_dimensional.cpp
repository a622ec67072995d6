// Two-dimensional hierarchical all-to-all, 2DH (Tutel, arXiv:2206.03382, section 3.4, Algorithm 3).
// Four phases, S bytes a device, n devices, m in a node:
//   1  strided copy: chunks with the same local destination lie together     copy(S)
//   2  all-to-all in the node, messages n/m S/n = S/m                        (m-1) messages
//   3  strided copy: chunks with the same remote destination lie together    copy(S)
//   4  all-to-all between nodes among devices of the same place, S m/n       (n/m-1) messages
// The strided copies keep their cost when n grows, which is the point of phase 1 and 3 against
// copying chunks of S/n one by one. Own blocks stay where they are.
#include "sim/engine/exchange/algorithms/communication.h"

namespace moesim {

CommPlan two_dimensional_all_to_all(const CommTask& task, const CommFabric& fabric) {
  const std::int64_t m = devices_in_node(task, fabric);
  const std::int64_t nodes = task.devices / m;
  return {
      {{"align_local", Crossing::memory, 1, task.bytes},
       {"node", Crossing::node, m - 1, (1.0 / static_cast<double>(m)) * task.bytes},
       {"align_remote", Crossing::memory, 1, task.bytes},
       {"network", Crossing::network, nodes - 1, (1.0 / static_cast<double>(nodes)) * task.bytes}}};
}

}  // namespace moesim
