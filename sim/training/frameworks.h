// What training frameworks cost beside their kernels' laws: one row per family and way of
// launching.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "sim/core/units.h"

namespace moesim {

// What of an iteration is launched as CUDA graphs, without the host's work for every kernel.
// Megatron-LM's --cuda-graph-scope.
enum class Captured : std::uint8_t {
  nothing,
  router,     // moe_router, moe_preprocess
  attention,  // and attn or mamba
  all,        // the whole iteration (cuda_graph_impl full_iteration)
};

struct TrainingFramework {
  std::string_view name;
  Captured captured = Captured::nothing;
  // What the host takes to launch one kernel of our list, for which a framework runs several small
  // ones (casts, permutations, masks, autograd's bookkeeping). A chain of kernels between two
  // exchanges lasts at least that long for each: the host waits at exchanges whose sizes it needs.
  Seconds host_per_kernel;
  // Kernels take so many times what their laws say: laws are of kernels alone, with nothing else
  // on the device and its clock at the top.
  double slowdown = 1.0;
  // Operands of narrow products are made by kernels of their own (backward_ops.h).
  bool quantises = false;
  std::string_view source;
};

// Every row, "none" first.
std::span<const TrainingFramework> training_frameworks();
// Throws ConfigError(where, ...) that lists the names.
const TrainingFramework& find_training_framework(std::string_view name, const std::string& where);

}  // namespace moesim
