// What a step keeps in device memory, on the fullest device, against what the device has.
#pragma once

#include <span>

#include "hardware/cluster.h"
#include "models/moe_model.h"
#include "placement/placement.h"
#include "sim/engine/scenario.h"
#include "sim/engine/step_traffic.h"

namespace moesim {

struct MemoryUse {
  Bytes weights;      // of which:
  Bytes experts;      // routed experts, replicas included
  Bytes kv_cache;     // of all sequences of the rank; linear attention's state included
  Bytes activations;  // widest point of a layer
  Bytes buffers;      // all-to-all, send and receive
  Bytes capacity;     // of the device
  Bytes usable;       // what a server may plan with

  [[nodiscard]] Bytes total() const { return weights + kv_cache + activations + buffers; }
  [[nodiscard]] bool fits() const { return total() <= usable; }
  [[nodiscard]] Bytes shortfall() const { return fits() ? Bytes(0) : total() - usable; }
};

// Pure. Not fitting is a result.
MemoryUse memory_use(const Cluster& cluster, const MoeModel& model, const Workload& workload,
                     const Parallelism& parallelism, const Policy& policy,
                     const ExpertGroups& groups, const ExpertPlacement& placement,
                     const StepTraffic& traffic, std::span<const int> node_of_unit);

}  // namespace moesim
