// Sparse all-gather and reduce-scatter of FSSDP (Hecate, arXiv:2502.02581, section 3.1). S bytes
// lie in |C| chunks (experts), each on one device; the chosen |C^| of them reach every device by
// NCCL's grouped broadcasts, gradients go back by grouped reduces. With lambda = |C^| / |C|
//   Vol(spAG) = Vol(spRS) = lambda S      (FSDP's all-gather: S)
// A broadcast is a pipelined chain: each device receives a chunk once and passes it on. The worst
// receiver owns as few chosen chunks as may be; it bounds the time:
//   t = r (alpha + S / |C| / B),  r = |C^| - floor(|C^| / n)
// chosen chunks being spread evenly over the n devices.
#include "sim/core/error.h"
#include "sim/engine/exchange/algorithms/communication.h"

namespace moesim {
namespace {

CommPlan grouped(const char* name, const CommTask& task, const CommFabric& fabric) {
  if (task.experts < 1 || task.chosen < 0 || task.chosen > task.experts) {
    throw ConfigError("chosen", std::to_string(task.chosen) + " is not among 0 to " +
                                    std::to_string(task.experts) + " chunks");
  }
  const bool inside = devices_in_node(task, fabric) == task.devices;
  const std::int64_t received = task.devices > 1 ? task.chosen - task.chosen / task.devices : 0;
  return {{{name, inside ? Crossing::node : Crossing::network, received,
            (1.0 / static_cast<double>(task.experts)) * task.bytes}}};
}

}  // namespace

CommPlan sparse_all_gather(const CommTask& task, const CommFabric& fabric) {
  return grouped("sparse_all_gather", task, fabric);
}

CommPlan sparse_reduce_scatter(const CommTask& task, const CommFabric& fabric) {
  return grouped("sparse_reduce_scatter", task, fabric);
}

}  // namespace moesim
