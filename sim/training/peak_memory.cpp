#include <algorithm>

#include "sim/training/stage_memory.h"

namespace moesim {

Bytes peak_memory(const StageMemory& memory, std::span<const PipelineAction> order) {
  Bytes kept;
  Bytes peak;
  Bytes beside;  // transient of the pass that runs at the same time
  for (std::size_t i = 0; i < order.size(); ++i) {
    const PipelineAction& action = order[i];
    const auto chunk = static_cast<std::size_t>(action.chunk);
    if (action.pass == Pass::forward) {
      kept += memory.activations[chunk];
    }
    peak = std::max(peak, kept + beside + memory.transient[chunk]);
    beside = action.beside_next ? memory.transient[chunk] : Bytes();
    // Gradients of weights need the layers' inputs: they are the last to go.
    if (action.pass == Pass::backward || action.pass == Pass::weight_grad) {
      kept = kept - memory.activations[chunk];
    }
  }
  return memory.fixed() + peak;
}

}  // namespace moesim
