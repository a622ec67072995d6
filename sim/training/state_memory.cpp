#include "sim/training/state_memory.h"

#include <algorithm>

#include "models/network/moe_model_size.h"

namespace moesim {
namespace {

double real(std::int64_t count) { return static_cast<double>(count); }
double bytes_of(DType type) { return stored_bits(type) / 8.0; }

// A checkpoint's own formats are not what it is trained in.
MoeModel without_formats(MoeModel model) {
  for (Block& block : model.blocks) {
    block.attention.weight_bits = 0;
    for (FfnGroup& group : block.ffn) {
      group.weight_bits = 0;
      for (ExpertSet& set : group.experts) {
        set.weight_bits = 0;
      }
      for (SharedExperts& shared : group.shared) {
        shared.weight_bits = 0;
      }
    }
  }
  return model;
}

// Counts of one layer on one rank.
struct LayerParameters {
  double dense = 0;
  double experts = 0;
  double narrow = 0;
};

class Counter {
 public:
  explicit Counter(const StageMemoryInput& input)
      : input_(input),
        model_(without_formats(input.model)),
        bytes_(weight_bytes(model_, {},
                            {.attention = input.parallelism.attention_tp,
                             .dense = input.parallelism.attention_tp,
                             .shared = input.parallelism.attention_tp,
                             .expert = input.parallelism.expert_tp,
                             .vocabulary = 1})) {}

  [[nodiscard]] LayerParameters layer(std::size_t index) const {
    const BlockBytes& block = bytes_.blocks[static_cast<std::size_t>(model_.layers[index])];
    const OpPrecision& precision = input_.precision;
    LayerParameters p;
    const auto add = [&p](Bytes bytes, DType gemm) {
      p.dense += values(bytes);
      p.narrow += stored_bits(gemm) < 16 ? values(bytes) : 0;
    };
    add(block.attention, precision.attention_gemm);
    add(block.vectors, DType::bf16);
    for (const FfnBytes& ffn : block.ffn) {
      add(ffn.dense, precision.ffn_gemm);
      add(ffn.router, DType::bf16);
      add(ffn.shared, precision.ffn_gemm);
      add(ffn.latent, precision.ffn_gemm);
      const double experts =
          values(ffn.routed_expert) * real(ffn.routed_experts) / input_.parallelism.expert_ep;
      p.experts += experts;
      p.narrow += stored_bits(precision.expert_gemm) < 16 ? experts : 0;
    }
    return p;
  }

  // A table over the padded vocabulary, cut by tp.
  [[nodiscard]] double table() const {
    return padded_vocabulary(input_) * real(model_.hidden) / input_.parallelism.attention_tp;
  }
  [[nodiscard]] const MoeModel& model() const { return model_; }

 private:
  static double values(Bytes bytes) { return bytes.si() / 2; }  // the default format is bf16

  const StageMemoryInput& input_;
  MoeModel model_;
  WeightBytes bytes_;
};

double shards(int ranks, const TrainWorkload& workload) {
  return std::max(1, ranks / std::max(1, workload.optimizer.instances));
}

double states_of(OptimizerKind kind) { return kind == OptimizerKind::adam ? 2 : 1; }

}  // namespace

double padded_vocabulary(const StageMemoryInput& input) {
  const std::int64_t multiple = input.habits.vocabulary_multiple * input.parallelism.attention_tp;
  return real((input.model.vocabulary + multiple - 1) / multiple * multiple);
}

StageParameters stage_parameters(const StageMemoryInput& input,
                                 std::span<const std::int32_t> parts) {
  const Counter counter(input);
  const MoeModel& model = counter.model();
  StageParameters sum;
  const auto add_layer = [&](std::size_t index) {
    const LayerParameters layer = counter.layer(index);
    sum.dense += layer.dense;
    sum.experts += layer.experts;
    sum.narrow += layer.narrow;
    sum.largest_unit = std::max(sum.largest_unit, layer.dense + layer.experts);
  };
  const std::int64_t modules =
      input.habits.one_mtp_module ? std::min<std::int64_t>(1, model.mtp_layers) : model.mtp_layers;
  bool embedding = false;
  bool head = false;
  for (const std::int32_t index : parts) {
    const ModelPart& part = input.parts[static_cast<std::size_t>(index)];
    for (int i = 0; i < part.layers; ++i) {
      add_layer(static_cast<std::size_t>(part.first_layer + i));
    }
    embedding = embedding || part.embedding;
    head = head || part.head;
  }
  if (head) {
    for (std::int64_t i = 0; i < modules; ++i) {
      add_layer(model.layers.size() - static_cast<std::size_t>(i + 1));
    }
    sum.dense += real(model.hidden);
  }
  // The head's stage has a copy of a tied table, and of the embedding for prediction modules.
  const bool copies = head && model.mtp_layers > 0;
  const double tables = (embedding || copies ? 1 : 0) +
                        (head && !(model.tied_embeddings && (embedding || copies)) ? 1 : 0);
  sum.dense += tables * counter.table();
  if (tables > 0) {
    sum.largest_unit = std::max(sum.largest_unit, counter.table());
  }
  return sum;
}

void add_states(StageMemory& memory, const StageParameters& parameters,
                const StageMemoryInput& input) {
  const Parallelism& p = input.parallelism;
  const TrainWorkload& workload = input.workload;
  const OptimizerChoice& optimizer = workload.optimizer;
  const double all = parameters.dense + parameters.experts;
  const double dense_shards = shards(p.attention_dp * p.attention_cp, workload);
  const double cut =
      parameters.dense / dense_shards + parameters.experts / shards(p.expert_dp, workload);
  const double gradient = bytes_of(workload.gradient);
  memory.weights = Bytes(2 * (optimizer.zero >= 3 ? cut : all) + 2 * parameters.narrow);
  memory.gradients = Bytes(gradient * (optimizer.zero >= 2 ? cut : all));
  if (!optimizer.offload) {
    // A cut optimizer makes fp32 gradients of its part where the accumulated ones are narrower.
    const double copy = gradient < 4 && optimizer.zero > 0 ? 4 : 0;
    memory.optimizer = Bytes((bytes_of(optimizer.master) +
                              states_of(optimizer.kind) * bytes_of(optimizer.state) + copy) *
                             (optimizer.zero >= 1 ? cut : all));
  }
  memory.buffers = input.habits.workspaces + input.habits.framework;
  if (optimizer.zero >= 3) {
    // One unit's weights and gradients while it runs, and the next one's on their way.
    memory.buffers += Bytes(2 * (2 + gradient) * parameters.largest_unit);
  }
  if (p.pp > 1) {
    const double tokens = real(workload.micro_batch * workload.sequence) / p.attention_cp;
    const double resident = workload.sequence_parallel ? tokens / p.attention_tp : tokens;
    memory.buffers += Bytes(2 * 2 * resident * real(input.model.hidden));
  }
}

}  // namespace moesim
