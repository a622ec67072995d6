// The work of a forward step: what every layer of the model has to do for each micro-batch.
#pragma once

#include "models/network/moe_model.h"
#include "sim/engine/schedule/schedule.h"

namespace moesim {

struct StepWorkOptions {
  int micro_batches = 1;
  bool tensor_parallel = false;   // attention's slices are summed
  bool attention_split = false;   // the attention kernel is a node of its own
  bool gathers_contexts = false;  // tokens rest with their experts: all ranks learn the new ones
  PartRule rule = PartRule::whole;
  int parts = 1;                  // of what experts work on: parts_of()
  bool gathers_in_units = false;  // see OverlapEntry
};

// Layers whose routed experts may run beside the layers that follow (ScMoE).
std::int64_t shortcut_layers(const MoeModel& model);

// Micro-batch by micro-batch, layer by layer. An FFN entry that runs beside the next blocks
// (Shortcut) is waited for where its output is added. Of experts in parts all dispatches come
// first, then the experts, then the combines.
Work step_work(const MoeModel& model, const StepWorkOptions& options);

}  // namespace moesim
