// What a step keeps in device memory, on the fullest device, against what the device has.
#pragma once

#include <span>

#include "sim/engine/deployment.h"

namespace moesim {

struct MemoryUse {
  Bytes weights;           // of which:
  Bytes experts;           // routed experts, replicas included
  Bytes kv_cache;          // of all sequences of the rank; linear attention's state included
  Bytes per_token;         // of the cache, within every window
  Bytes largest_sequence;  // of the cache, states included
  Bytes activations;       // widest point of a layer
  Bytes buffers;           // all-to-all, send and receive
  Bytes capacity;          // of the device
  Bytes usable;            // what a server may plan with

  [[nodiscard]] Bytes total() const { return weights + kv_cache + activations + buffers; }
  [[nodiscard]] bool fits() const { return total() <= usable; }
  [[nodiscard]] Bytes shortfall() const { return fits() ? Bytes(0) : total() - usable; }
};

// Pure. Not fitting is a result. Of attention ranks that differ, the one with most cache and
// activations counts, and stands beside the fullest expert rank. Micro-batches live side by side.
MemoryUse memory_use(const Deployment& deployment, const StepBatch& batch,
                     std::span<const MicroBatch> micro_batches);

}  // namespace moesim
