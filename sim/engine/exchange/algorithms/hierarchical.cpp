// Hierarchical all-to-all in two stages (DeepSpeed-MoE, arXiv:2201.05596, section 5.3; SE-MoE,
// arXiv:2205.10034, section 3.2): layout transformation, all-to-all in the node to the device of
// the destination's place, layout transformation, all-to-all between nodes among devices of the
// same place (on rails: through one leaf switch, never a spine), and the layout that experts read.
//   messages: n -> m + n/m, own blocks counted; bytes: twice those of the flat one
#include "sim/engine/exchange/algorithms/communication.h"

namespace moesim {

CommPlan hierarchical_all_to_all(const CommTask& task, const CommFabric& fabric) {
  const std::int64_t m = devices_in_node(task, fabric);
  const std::int64_t nodes = task.devices / m;
  return {
      {{"layout_local", Crossing::memory, 1, task.bytes},
       {"node", Crossing::node, m - 1, (1.0 / static_cast<double>(m)) * task.bytes},
       {"layout_remote", Crossing::memory, 1, task.bytes},
       {"network", Crossing::network, nodes - 1, (1.0 / static_cast<double>(nodes)) * task.bytes},
       {"layout_experts", Crossing::memory, 1, task.bytes}}};
}

}  // namespace moesim
