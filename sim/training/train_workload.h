// What one training iteration has to do, as `workload.kind: "train"` says it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/core/dtype.h"

namespace moesim {

// Which activations are kept for the backward pass. selective: those of `modules` are worked out
// again; full: only the inputs of layers are kept.
enum class Recompute : std::uint8_t { none, selective, full };

enum class OptimizerKind : std::uint8_t { adam, sgd, muon };

// Whether experts drop what exceeds their capacity, or all tokens are computed.
enum class TrainRouting : std::uint8_t {
  forced_balance,  // every expert gets the same: what benchmarks of training frameworks do
  generated,       // by the scenario's routing source
};

struct OptimizerChoice {
  OptimizerKind kind = OptimizerKind::adam;
  DType master = DType::fp32;  // weights that the optimizer updates
  DType state = DType::fp32;   // moments
  // 0: every data-parallel rank keeps all; 1: optimizer states are cut over them; 2: gradients too;
  // 3: weights too (FSDP).
  int zero = 1;
  bool offload = false;  // states and update live in the host's memory
  // Groups of data-parallel ranks that each hold a whole set of states (Megatron's
  // --num-distributed-optimizer-instances).
  int instances = 1;
};

struct TrainWorkload {
  std::int64_t global_batch = 0;  // sequences per iteration
  std::int64_t micro_batch = 1;   // sequences
  std::int64_t sequence = 0;      // tokens
  Recompute recompute = Recompute::none;
  std::vector<std::string> recompute_modules;  // of `selective`
  // Activations that wait in the host's memory for the backward pass, by Megatron's names
  // (--offload-modules): attn_norm, qkv_linear, core_attn, attn_proj, mlp_norm, expert_fc1,
  // moe_act.
  std::vector<std::string> offload_modules;
  std::optional<double> capacity_factor;  // absent: dropless
  TrainRouting routing = TrainRouting::forced_balance;
  OptimizerChoice optimizer;
  DType gradient = DType::fp32;  // that are accumulated and reduced
  // Reduction of gradients and gathering of weights beside the passes that make and need them.
  bool overlap_gradients = true;
  bool overlap_parameters = true;
  // Norms and residuals are cut along the sequence over attention's tensor-parallel ranks.
  bool sequence_parallel = true;
  int mtp_layers = 0;  // of the model's multi-token-prediction modules, that are trained along
};

}  // namespace moesim
