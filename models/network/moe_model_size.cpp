#include "models/network/moe_model_size.h"

#include <algorithm>

#include "sim/core/error.h"

namespace moesim {
namespace {

double real(std::int64_t count) { return static_cast<double>(count); }

// Values of the matrices and vectors of one attention, and the share of the matrices that every
// rank of a tensor-parallel group holds in full.
struct AttentionWeights {
  double split_by_heads = 0;
  double split_by_kv_heads = 0;
  double replicated = 0;
  double vectors = 0;

  [[nodiscard]] double matrices() const { return split_by_heads + split_by_kv_heads + replicated; }
};

// q: h x heads d; k, v: h x kv_heads d; o: heads d x h.
AttentionWeights softmax_weights(const Attention& a, double hidden) {
  const double q = real(a.heads) * real(a.head_dim);
  const double kv = 2 * real(a.kv_heads) * real(a.head_dim);
  double norms = 0;
  if (a.qk_norm == QkNorm::head) {
    norms = 2 * real(a.head_dim);
  } else if (a.qk_norm == QkNorm::full) {
    norms = q + kv / 2;
  }
  return {.split_by_heads = 2 * hidden * q,
          .split_by_kv_heads = hidden * kv,
          .replicated = 0,
          .vectors = norms + (a.qkv_bias ? q + kv : 0) + (a.output_bias ? hidden : 0)};
}

// DeepSeek-V2 (2405.04434), section 2.1: q_a: h x q_rank, q_b: q_rank x heads (nope + rope) or
// q: h x heads (nope + rope); kv_a: h x (kv_rank + rope); kv_b: kv_rank x heads (nope + value);
// o: heads value x h. The compressions are replicated.
AttentionWeights latent_weights(const Attention& a, double hidden) {
  const double heads = real(a.heads);
  const double q_in = a.q_rank > 0 ? real(a.q_rank) : hidden;
  const double q = q_in * heads * real(a.nope_dim + a.rope_dim);
  const double kv_b = real(a.kv_rank) * heads * real(a.nope_dim + a.value_dim);
  const double o = heads * real(a.value_dim) * hidden;
  const double kv_a = hidden * real(a.kv_rank + a.rope_dim);
  return {.split_by_heads = q + kv_b + o,
          .split_by_kv_heads = 0,
          .replicated = kv_a + hidden * real(a.q_rank),
          .vectors = real(a.q_rank) + real(a.kv_rank) +
                     (a.qkv_bias ? real(a.q_rank) + real(a.kv_rank + a.rope_dim) : 0) +
                     (a.output_bias ? hidden : 0)};
}

// Gated delta rule (Yang et al. 2412.06464) as in Qwen3-Next: q, k: h x key_heads key_dim each,
// v (and output gate): h x heads value_dim, decay and step size: h x heads each; depthwise
// convolutions over q, k, v; o: heads value_dim x h.
AttentionWeights linear_weights(const Attention& a, double hidden) {
  const double keys = 2 * real(a.kv_heads) * real(a.head_dim);
  const double values = real(a.heads) * real(a.value_dim);
  const double gate = a.output_gate ? values : 0;
  return {.split_by_heads = hidden * (values + gate + 2 * real(a.heads)) + values * hidden,
          .split_by_kv_heads = hidden * keys,
          .replicated = 0,
          .vectors = real(a.conv_width) * (keys + values) + 2 * real(a.heads) + real(a.value_dim) +
                     (a.qkv_bias ? keys + values : 0) + (a.output_bias ? hidden : 0)};
}

AttentionWeights weights_of(const Attention& attention, double hidden) {
  switch (attention.kind) {
    case AttentionKind::mha:
    case AttentionKind::gqa:
      return softmax_weights(attention, hidden);
    case AttentionKind::mla:
      return latent_weights(attention, hidden);
    case AttentionKind::linear:
      return linear_weights(attention, hidden);
  }
  throw InvariantError("every attention kind has weights");
}

struct FfnWeights {
  double dense = 0;
  double router = 0;
  double shared = 0;
  double latent = 0;
  double routed_expert = 0;  // one
  double vectors = 0;
};

FfnWeights moe_weights(const FfnGroup& group, double hidden) {
  FfnWeights w;
  const double experts = real(group.selectable_experts());
  const double rounds = real(group.rounds);
  const ExpertSet& expert = group.expert();
  const double width = group.latent_dim > 0 ? real(group.latent_dim) : hidden;
  w.routed_expert = expert.matrices * width * real(expert.inter);
  w.latent = group.latent_dim > 0 ? 2 * hidden * real(group.latent_dim) : 0;
  // Each round of a chain has its own router.
  w.router =
      group.router.linear ? rounds * experts * (hidden + (group.router.residual ? experts : 0)) : 0;
  w.vectors = group.router.bias ? rounds * experts : 0;
  for (const SharedExperts& shared : group.shared) {
    w.shared += real(shared.count) * shared.matrices * hidden * real(shared.inter);
    w.vectors += shared.gated ? hidden : 0;
  }
  for (const ExpertSet& set : group.experts) {
    // MoE++ (2410.07348): a vector of width h and a gate of 2 x h.
    w.vectors += set.kind == ExpertKind::constant ? 3 * hidden * real(set.count) : 0;
  }
  return w;
}

FfnWeights weights_of(const FfnGroup& group, double hidden) {
  if (group.kind == FfnKind::moe) {
    return moe_weights(group, hidden);
  }
  FfnWeights w;
  w.dense = group.matrices * hidden * real(group.inter);
  w.vectors = group.bias ? (group.matrices - 1) * real(group.inter) + hidden : 0;
  return w;
}

// One norm before attention, one before cross attention, one before the FFN entries.
double norms_of(const Block& block, double hidden) {
  return (block.cross_attention ? 3 : 2) * hidden;
}

// One final norm per stack.
double final_norms(const MoeModel& model) {
  const bool two = model.layer(0).stack == Stack::encoder &&
                   model.layer(model.layers.size() - 1).stack == Stack::decoder;
  return (two ? 2 : 1) * real(model.hidden);
}

void add(ParameterCounts& counts, const Block& block, double hidden) {
  const AttentionWeights self = weights_of(block.attention, hidden);
  counts.attention += self.matrices();
  counts.vectors += self.vectors + norms_of(block, hidden);
  if (block.cross_attention) {
    const AttentionWeights cross = weights_of(*block.cross_attention, hidden);
    counts.attention += cross.matrices();
    counts.vectors += cross.vectors;
  }
  for (const FfnGroup& group : block.ffn) {
    const FfnWeights w = weights_of(group, hidden);
    counts.dense_ffn += w.dense;
    counts.router += w.router;
    counts.shared_experts += w.shared;
    counts.latent += w.latent;
    counts.vectors += w.vectors;
    if (group.kind == FfnKind::moe) {
      const std::int64_t ffn = group.ffn_experts();
      const std::int64_t free = group.selectable_experts() - ffn;
      const double each = w.routed_expert * real(group.rounds);
      counts.routed_experts += w.routed_expert * real(ffn);
      counts.active_routed_least +=
          each * real(std::max<std::int64_t>(0, group.router.top_k - free));
      counts.active_routed_mean += each * group.expected_ffn_k;
      counts.active_routed_most += each * real(std::min(group.router.top_k, ffn));
    }
  }
}

Bytes stored(double values, double weight_bits, DType format) {
  return Bytes(values * (weight_bits > 0 ? weight_bits : stored_bits(format)) / 8);
}

// A rank of a group larger than the KV heads still holds one of them.
double kv_share(std::int64_t kv_heads, std::int64_t tp) {
  return std::max(1.0 / real(tp), 1.0 / real(kv_heads));
}

Bytes attention_bytes(const Attention& a, double hidden, DType format, std::int64_t tp) {
  const AttentionWeights w = weights_of(a, hidden);
  const double values =
      w.split_by_heads / real(tp) + w.split_by_kv_heads * kv_share(a.kv_heads, tp) + w.replicated;
  return stored(values, a.weight_bits, format);
}

FfnBytes ffn_bytes(const FfnGroup& group, double hidden, const Quantisation& formats,
                   const TensorParallel& tp) {
  const FfnWeights w = weights_of(group, hidden);
  FfnBytes bytes;
  bytes.dense = stored(w.dense / real(tp.dense), group.weight_bits, formats.dense_ffn);
  bytes.router = stored(w.router, 0, formats.router);
  bytes.latent = stored(w.latent, 0, formats.shared_expert);
  for (const SharedExperts& shared : group.shared) {
    const double values = real(shared.count) * shared.matrices * hidden * real(shared.inter);
    bytes.shared += stored(values / real(tp.shared), shared.weight_bits, formats.shared_expert);
  }
  if (group.kind == FfnKind::moe) {
    bytes.routed_expert = stored(w.routed_expert / real(tp.expert), group.expert().weight_bits,
                                 formats.routed_expert);
    bytes.routed_experts = group.ffn_experts();
  }
  return bytes;
}

void check_cut(std::int64_t size, std::int64_t tp, const std::string& what,
               const std::string& where) {
  if (tp < 1 || size % tp != 0) {
    throw ConfigError(where, "tensor parallelism " + std::to_string(tp) + " does not divide " +
                                 what + " (" + std::to_string(size) + ")");
  }
}

void check_heads(const Attention& attention, std::int64_t tp, const std::string& where) {
  check_cut(attention.heads, tp, "the attention heads", where);
  if (attention.kv_heads % tp != 0 && tp % attention.kv_heads != 0) {
    throw ConfigError(where, "tensor parallelism " + std::to_string(tp) +
                                 " is neither a divisor nor a multiple of the KV heads (" +
                                 std::to_string(attention.kv_heads) + ")");
  }
}

}  // namespace

ParameterCounts count_parameters(const MoeModel& model) {
  ParameterCounts counts;
  const double hidden = real(model.hidden);
  const double table = real(model.vocabulary) * hidden;
  counts.embedding = table;
  counts.head = model.tied_embeddings ? 0 : table;
  counts.tied_head = model.tied_embeddings ? table : 0;
  counts.vectors = final_norms(model);
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    add(counts, model.layer(i), hidden);
  }
  return counts;
}

void check_tensor_parallel(const MoeModel& model, const TensorParallel& tp,
                           const std::string& where) {
  for (const Block& block : model.blocks) {
    check_heads(block.attention, tp.attention, where);
    if (block.cross_attention) {
      check_heads(*block.cross_attention, tp.attention, where);
    }
    for (const FfnGroup& group : block.ffn) {
      if (group.kind == FfnKind::dense) {
        check_cut(group.inter, tp.dense, "the dense FFN's width", where);
        continue;
      }
      check_cut(group.expert().inter, tp.expert, "the experts' width", where);
      for (const SharedExperts& shared : group.shared) {
        check_cut(shared.count * shared.inter, tp.shared, "the shared experts' width", where);
      }
    }
  }
}

Bytes BlockBytes::resident() const {
  Bytes sum = attention + vectors;
  for (const FfnBytes& entry : ffn) {
    sum += entry.dense + entry.router + entry.shared + entry.latent;
  }
  return sum;
}

Bytes WeightBytes::total(const MoeModel& model) const {
  Bytes sum = embedding + head + final_norm;
  for (const std::int32_t index : model.layers) {
    const BlockBytes& block = blocks[static_cast<std::size_t>(index)];
    sum += block.resident();
    for (const FfnBytes& entry : block.ffn) {
      sum += real(entry.routed_experts) * entry.routed_expert;
    }
  }
  return sum;
}

WeightBytes weight_bytes(const MoeModel& model, const Quantisation& formats,
                         const TensorParallel& tp) {
  const double hidden = real(model.hidden);
  const std::int64_t rows = (model.vocabulary + tp.vocabulary - 1) / tp.vocabulary;
  WeightBytes bytes;
  bytes.embedding = stored(real(rows) * hidden, 0, formats.embedding);
  bytes.head = model.tied_embeddings ? Bytes() : stored(real(rows) * hidden, 0, formats.head);
  bytes.final_norm = stored(final_norms(model), 0, formats.vectors);
  for (const Block& block : model.blocks) {
    BlockBytes& out = bytes.blocks.emplace_back();
    double vectors = norms_of(block, hidden) + weights_of(block.attention, hidden).vectors;
    out.attention = attention_bytes(block.attention, hidden, formats.attention, tp.attention);
    if (block.cross_attention) {
      vectors += weights_of(*block.cross_attention, hidden).vectors;
      out.attention +=
          attention_bytes(*block.cross_attention, hidden, formats.attention, tp.attention);
    }
    for (const FfnGroup& group : block.ffn) {
      out.ffn.push_back(ffn_bytes(group, hidden, formats, tp));
      vectors += weights_of(group, hidden).vectors;
    }
    out.vectors = stored(vectors, 0, formats.vectors);
  }
  return bytes;
}

Bytes kv_bytes_per_token(const Attention& attention, DType kv, std::int64_t tp) {
  switch (kv_kind(attention)) {
    case KvKind::per_head:
      return stored(2 * real(attention.kv_heads) * real(attention.head_dim) *
                        kv_share(attention.kv_heads, tp),
                    0, kv);
    case KvKind::latent:
      return stored(real(attention.kv_rank + attention.rope_dim), 0, kv);
    default:
      return Bytes();
  }
}

Bytes kv_bytes_per_token(const MoeModel& model, DType kv, std::int64_t tp) {
  Bytes sum;
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    const Block& block = model.layer(i);
    if (block.stack == Stack::decoder) {
      sum += kv_bytes_per_token(block.attention, kv, tp);
    }
  }
  return sum;
}

Bytes cross_kv_bytes_per_source_token(const MoeModel& model, DType kv, std::int64_t tp) {
  Bytes sum;
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    if (const auto& cross = model.layer(i).cross_attention) {
      sum += kv_bytes_per_token(*cross, kv, tp);
    }
  }
  return sum;
}

Bytes state_bytes_per_sequence(const MoeModel& model, std::int64_t tp) {
  Bytes sum;
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    const Attention& a = model.layer(i).attention;
    if (a.kind == AttentionKind::linear) {
      const double heads = real(a.heads) / real(tp);
      const double window =
          real(a.conv_width) * (2 * real(a.kv_heads) * kv_share(a.kv_heads, tp) * real(a.head_dim) +
                                heads * real(a.value_dim));
      sum += stored(heads * real(a.head_dim) * real(a.value_dim), 0, DType::fp32) +
             stored(window, 0, DType::bf16);
    }
  }
  return sum;
}

}  // namespace moesim
