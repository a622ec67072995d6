#include "sim/training/stage_memory.h"

#include <algorithm>

#include "sim/training/activation_memory.h"
#include "sim/training/state_memory.h"

namespace moesim {
namespace {

// Activations of all layers of a part, and what runs beside them.
struct PartActivations {
  Bytes kept;
  Bytes transient;
};

PartActivations part_activations(const StageMemoryInput& input, const ModelPart& part) {
  const MoeModel& model = input.model;
  PartActivations sum;
  const auto add = [&](std::size_t index) {
    const LayerActivations layer =
        layer_activations(model, model.layer(index), input.workload, input.parallelism,
                          input.precision, input.habits);
    sum.kept += layer.kept;
    sum.transient = std::max(sum.transient, layer.transient);
  };
  for (int i = 0; i < part.layers; ++i) {
    add(static_cast<std::size_t>(part.first_layer + i));
  }
  if (!part.head) {
    return sum;
  }
  const MicroBatchShape shape =
      micro_batch_shape(input.workload, input.parallelism, input.precision, 0);
  const auto modules = static_cast<double>(model.mtp_layers);
  for (std::int64_t i = 0; i < model.mtp_layers; ++i) {
    // The module's two norms and the input of its projection (DeepSeek-V3, 2412.19437,
    // section 2.2).
    add(model.layers.size() - static_cast<std::size_t>(i + 1));
    sum.kept += Bytes(4 * shape.resident * static_cast<double>(model.hidden) * shape.value);
  }
  // The loss keeps probabilities in fp32 for every head; one head's logits and their gradient in
  // the activations' format stand beside them (Megatron-LM, tensor_parallel/cross_entropy.py).
  const double logits = shape.tokens * padded_vocabulary(input) / input.parallelism.attention_tp;
  sum.transient =
      std::max(sum.transient, Bytes(logits * (input.habits.head_formats + 4 * modules)));
  sum.kept += Bytes(2 * shape.resident * static_cast<double>(model.hidden) * shape.value);
  return sum;
}

}  // namespace

std::vector<StageMemory> stage_memory(const StageMemoryInput& input) {
  std::vector<StageMemory> stages;
  for (const std::vector<std::int32_t>& parts : input.schedule.part) {
    StageMemory stage;
    add_states(stage, stage_parameters(input, parts), input);
    for (const std::int32_t index : parts) {
      const PartActivations part =
          part_activations(input, input.parts[static_cast<std::size_t>(index)]);
      stage.activations.push_back(part.kept);
      stage.transient.push_back(part.transient);
    }
    stages.push_back(std::move(stage));
  }
  return stages;
}

}  // namespace moesim
