#include "sim/training/activation_memory.h"

#include <algorithm>

namespace moesim {
namespace {

double real(std::int64_t count) { return static_cast<double>(count); }

// FP8 and narrower products keep their inputs as they read them.
double input_bytes(DType gemm) { return std::min(2.0, stored_bits(gemm) / 8.0); }

class Keeper {
 public:
  Keeper(const MoeModel& model, const MicroBatchShape& shape, const MemoryHabits& habits)
      : hidden_(real(model.hidden)), s_(shape), habits_(habits) {}

  // Norm's input and output; the output is the next product's input.
  void norm(double in, std::string_view norm_offload, std::string_view out_offload) {
    keep(s_.resident * hidden_ * s_.value, "", norm_offload);
    keep(s_.resident * hidden_ * in, "layernorm", out_offload);
  }

  void dropout() {
    if (habits_.hidden_dropout) {
      keep(s_.resident * hidden_, "", "");  // a mask of one byte
    }
  }

  void attention(const Attention& a) {
    switch (a.kind) {
      case AttentionKind::mla:
        latent(a);
        break;
      case AttentionKind::mamba:
      case AttentionKind::linear:
        state(a);
        break;
      case AttentionKind::compressed:
        compressed(a);
        break;
      case AttentionKind::mha:
      case AttentionKind::gqa:
        heads(a);
        break;
      case AttentionKind::none:
        break;
    }
  }

  void dense(const FfnGroup& group) {
    ffn(s_.tokens * real(group.inter) / s_.tp, group.matrices, s_.ffn_in, "mlp");
  }

  void moe(const FfnGroup& group, double pairs) {
    const ExpertSet& expert = group.expert();
    const double width = group.latent_dim > 0 ? real(group.latent_dim) : hidden_;
    // Logits and probabilities of the router in fp32.
    keep(s_.resident * real(group.selectable_experts()) * 8, "moe", "");
    if (group.latent_dim > 0) {
      keep(2 * s_.resident * width * s_.value, "moe", "");
    }
    keep(pairs * width * s_.expert_in, "moe", "expert_fc1");
    const double inner = pairs * real(expert.inter) / s_.etp;
    const int columns = expert.matrices - 1;
    keep(inner * columns * s_.value, "moe", "moe_act");
    keep(inner * s_.expert_in, "moe_act", "");
    if (columns == 1 && !habits_.fused_activation) {
      keep(inner * s_.value, "moe_act", "");
    }
    keep(pairs * width * s_.value, "moe", "");  // weighted and added up at the token's place
    for (const SharedExperts& shared : group.shared) {
      ffn(s_.tokens * real(shared.count) * real(shared.inter) / s_.tp, shared.matrices, s_.ffn_in,
          "shared_experts");
    }
  }

  std::vector<KeptTensor> take() { return std::move(kept_); }

 private:
  void keep(double bytes, std::string_view recompute, std::string_view offload) {
    kept_.push_back({.bytes = Bytes(bytes), .recompute = recompute, .offload = offload});
  }

  // First product's output and the activation's.
  void ffn(double inner, int matrices, double in, std::string_view module) {
    keep(inner * (matrices - 1) * s_.value, module, "");
    keep(inner * in, module, "");
  }

  // Scores of softmax attention: 5 a s^2 b in Korthikanti et al. (2205.05198), equation 1, of which
  // dropout has a mask of one byte and its output; fused attention keeps a sum per row in fp32.
  void core(double heads, double value_dim) {
    const double rows = s_.sequences * heads / s_.tp * s_.length / s_.cp;
    if (habits_.fused_attention) {
      keep(4 * rows, "core_attn", "core_attn");
    } else {
      const double bytes = habits_.attention_dropout ? 2 * s_.value + 1 : s_.value;
      keep(rows * s_.length * bytes, "core_attn", "core_attn");
    }
    keep(s_.tokens * heads * value_dim / s_.tp * s_.attention_in, "", "attn_proj");
  }

  void heads(const Attention& a) {
    const double kv = std::max(1.0 / s_.tp, 1.0 / real(a.kv_heads)) * real(a.kv_heads);
    const double q = real(a.heads) / s_.tp * real(a.head_dim + (a.output_gate ? a.value_dim : 0));
    const double k = a.reuses_kv ? 0 : kv * real(a.head_dim);
    const double v = a.reuses_kv || a.keys_are_values ? 0 : kv * real(a.value_dim);
    keep(s_.tokens * (q + k + v) * s_.value, "", "core_attn");
    if (a.qk_norm != QkNorm::none) {
      keep(s_.tokens * (real(a.heads) / s_.tp * real(a.head_dim) + k) * s_.value, "layernorm",
           "core_attn");
    }
    core(real(a.heads), real(a.value_dim));
  }

  // DeepSeek-V2 (2405.04434), section 2.1: compressed vectors before and behind their norms;
  // queries and keys put together of two parts; the second up-projection's output, of which values
  // are views.
  void latent(const Attention& a) {
    const double ranks = real(a.q_rank + a.kv_rank);
    keep(2 * s_.resident * (ranks + real(a.rope_dim)) * s_.value, "", "");
    const double key = real(a.nope_dim + a.rope_dim);
    keep(s_.tokens * real(a.heads) / s_.tp * (2 * key + real(a.nope_dim + a.value_dim)) * s_.value,
         "mla_up_proj", "core_attn");
    core(real(a.heads), real(a.value_dim));
  }

  // Mamba-2 (2405.21060; mamba_ssm's mamba_split_conv1d_scan_combined): the first projection's
  // output, the scan's output before and behind the gated norm; convolution and scan run again in
  // the backward pass. Gated delta rule: the same of q, k, v and gate.
  void state(const Attention& a) {
    const bool mamba = a.kind == AttentionKind::mamba;
    const double values = real(a.heads) * real(mamba ? a.head_dim : a.value_dim);
    const double mixed = 2 * real(a.kv_heads) * real(mamba ? a.value_dim : a.head_dim);
    const double gates = mamba || a.output_gate ? 2 * values : values;
    keep(s_.tokens * (gates + mixed + real(a.heads)) / s_.tp * s_.value, "", "core_attn");
    keep(s_.tokens * values / s_.tp * s_.value, "core_attn", "");
    keep(s_.tokens * values / s_.tp * s_.attention_in, "", "attn_proj");
  }

  void compressed(const Attention& a) {
    const double wide = real(a.heads) / s_.tp * real(a.head_dim);
    keep(2 * s_.resident * real(a.q_rank) * s_.value, "", "");
    keep(s_.tokens * (wide + real(a.head_dim)) * s_.value, "mla_up_proj", "core_attn");
    core(real(a.heads), real(a.head_dim));
    keep(s_.tokens * real(a.o_groups * a.o_rank) / s_.tp * s_.value, "", "");
  }

  double hidden_;
  const MicroBatchShape& s_;
  const MemoryHabits& habits_;
  std::vector<KeptTensor> kept_;
};

bool has(const std::vector<std::string>& names, std::string_view name) {
  return !name.empty() && std::ranges::find(names, name) != names.end();
}

// "moe" works out again all that experts keep, their activations and shared experts included.
bool recomputed(const KeptTensor& tensor, const TrainWorkload& workload) {
  const auto& modules = workload.recompute_modules;
  return has(modules, tensor.recompute) ||
         ((tensor.recompute == "moe_act" || tensor.recompute == "shared_experts") &&
          has(modules, "moe"));
}

double top_k_of(const Block& block) {
  const FfnGroup* moe = block.moe();
  return moe == nullptr ? 0 : moe->expected_ffn_k;
}

}  // namespace

MicroBatchShape micro_batch_shape(const TrainWorkload& workload, const Parallelism& parallelism,
                                  const OpPrecision& precision, double top_k) {
  MicroBatchShape s;
  s.sequences = real(workload.micro_batch);
  s.length = real(workload.sequence);
  s.tp = parallelism.attention_tp;
  s.cp = parallelism.attention_cp;
  s.etp = parallelism.expert_tp;
  s.tokens = s.sequences * s.length / s.cp;
  s.resident = workload.sequence_parallel ? s.tokens / s.tp : s.tokens;
  // tp ranks share `tokens`, etp ranks share an expert: tp cp dp = etp ep edp.
  s.pairs = s.tokens * top_k * s.etp / s.tp * workload.capacity_factor.value_or(1.0);
  s.value = stored_bits(precision.activation) / 8.0;
  s.attention_in = input_bytes(precision.attention_gemm);
  s.ffn_in = input_bytes(precision.ffn_gemm);
  s.expert_in = input_bytes(precision.expert_gemm);
  return s;
}

std::vector<KeptTensor> kept_tensors(const MoeModel& model, const Block& block,
                                     const MicroBatchShape& shape, const MemoryHabits& habits) {
  Keeper keeper(model, shape, habits);
  if (block.attention.kind != AttentionKind::none) {
    keeper.norm(shape.attention_in, "attn_norm", "qkv_linear");
    keeper.attention(block.attention);
    keeper.dropout();
  }
  if (!block.ffn.empty()) {
    keeper.norm(shape.value, "mlp_norm", "");
  }
  for (const FfnGroup& group : block.ffn) {
    if (group.kind == FfnKind::dense) {
      keeper.dense(group);
    } else {
      keeper.moe(group, shape.pairs * real(group.rounds));
    }
    keeper.dropout();
  }
  return keeper.take();
}

LayerActivations layer_activations(const MoeModel& model, const Block& block,
                                   const TrainWorkload& workload, const Parallelism& parallelism,
                                   const OpPrecision& precision, const MemoryHabits& habits) {
  const MicroBatchShape shape =
      micro_batch_shape(workload, parallelism, precision, top_k_of(block));
  const Bytes input(shape.resident * real(model.hidden) * shape.value);
  LayerActivations result;
  Bytes largest;
  for (const KeptTensor& tensor : kept_tensors(model, block, shape, habits)) {
    largest = std::max(largest, tensor.bytes);
    if (workload.recompute == Recompute::full) {
      result.transient += tensor.bytes;
    } else if ((workload.recompute == Recompute::selective && recomputed(tensor, workload)) ||
               has(workload.offload_modules, tensor.offload)) {
      result.transient += tensor.bytes;
    } else {
      result.kept += tensor.bytes;
    }
  }
  if (workload.recompute == Recompute::full) {
    result.kept = input;
  }
  result.transient += 2 * largest;
  return result;
}

}  // namespace moesim
