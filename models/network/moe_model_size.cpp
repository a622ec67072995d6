#include "models/network/moe_model_size.h"

#include <algorithm>

#include "models/network/attention_size.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

using detail::AttentionWeights;
using detail::kv_share;
using detail::real;
using detail::stored;
using detail::weights_of;

struct FfnWeights {
  double dense = 0;
  double router = 0;
  double shared = 0;
  double latent = 0;
  double routed_expert = 0;   // one
  double routed_vectors = 0;  // biases of one
  double vectors = 0;
};

FfnWeights moe_weights(const FfnGroup& group, double hidden) {
  FfnWeights w;
  const double experts = real(group.selectable_experts());
  const double rounds = real(group.rounds);
  const ExpertSet& expert = group.expert();
  const double width = group.latent_dim > 0 ? real(group.latent_dim) : hidden;
  w.routed_expert = expert.matrices * width * real(expert.inter);
  w.routed_vectors = expert.bias ? (expert.matrices - 1) * real(expert.inter) + width : 0;
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
  const int parts = (block.attention.kind != AttentionKind::none ? 1 : 0) +
                    (block.cross_attention ? 1 : 0) + (block.ffn.empty() ? 0 : 1);
  return (parts + real(block.extra_norms) + (block.mtp ? 3 : 0)) * hidden;
}

// Hyper-connections (mHC, DeepSeek-V4): from m residual streams of width h a map to m (2 + m)
// mixing weights, a bias for each and three scales, before each part of a block; at the end a map
// to m weights, biases and a scale.
double mixing_of(const Block& block, const MoeModel& model) {
  const double streams = real(model.residual_streams);
  const double parts =
      (block.attention.kind != AttentionKind::none ? 1 : 0) + (block.ffn.empty() ? 0 : 1);
  const double mixes = (2 + streams) * streams;
  return streams > 1 ? parts * (mixes * streams * real(model.hidden) + mixes + 3) : 0;
}

double final_mixing(const MoeModel& model) {
  const double streams = real(model.residual_streams);
  return streams > 1 ? streams * streams * real(model.hidden) + streams + 1 : 0;
}

// One final norm per stack.
double final_norms(const MoeModel& model) {
  const bool two = model.layer(0).stack == Stack::encoder &&
                   model.layer(model.layers.size() - 1).stack == Stack::decoder;
  return (two ? 2 : 1) * real(model.hidden);
}

void add(ParameterCounts& counts, const Block& block, const MoeModel& model) {
  const double hidden = real(model.hidden);
  const AttentionWeights self = weights_of(block.attention, hidden);
  counts.attention += self.matrices() + (block.mtp ? 2 * hidden * hidden : 0);
  counts.vectors += self.vectors + norms_of(block, hidden) + mixing_of(block, model);
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
      counts.routed_vectors += w.routed_vectors * real(ffn);
      counts.active_routed_vectors += w.routed_vectors * group.expected_ffn_k;
      counts.active_routed_least +=
          each * real(std::max<std::int64_t>(0, group.router.top_k - free));
      counts.active_routed_mean += each * group.expected_ffn_k;
      counts.active_routed_most += each * real(std::min(group.router.top_k, ffn));
    }
  }
}

Bytes attention_bytes(const Attention& a, double hidden, DType format, std::int64_t tp) {
  if (a.kind == AttentionKind::none) {
    return Bytes();
  }
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
    if (group.expert().bias) {  // the last one's is added once, whoever holds it
      bytes.routed_expert += stored(w.routed_vectors, 0, formats.vectors);
    }
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
  if (attention.kind == AttentionKind::none) {
    return;
  }
  check_cut(attention.heads, tp, "the attention heads", where);
  if (attention.kv_heads % tp != 0 && tp % attention.kv_heads != 0) {
    throw ConfigError(where, "tensor parallelism " + std::to_string(tp) +
                                 " is neither a divisor nor a multiple of the KV heads (" +
                                 std::to_string(attention.kv_heads) + ")");
  }
  if (attention.kind == AttentionKind::compressed) {
    check_cut(attention.o_groups, tp, "the groups of the output compression", where);
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
  counts.vectors = final_norms(model) + final_mixing(model);
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    add(counts, model.layer(i), model);
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
  bytes.final_norm = stored(final_norms(model) + final_mixing(model), 0, formats.vectors);
  for (const Block& block : model.blocks) {
    BlockBytes& out = bytes.blocks.emplace_back();
    double vectors = norms_of(block, hidden) + mixing_of(block, model) +
                     weights_of(block.attention, hidden).vectors;
    out.attention = attention_bytes(block.attention, hidden, formats.attention, tp.attention);
    if (block.mtp) {
      out.attention += stored(2 * hidden * hidden, 0, formats.attention);
    }
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

Bytes kv_bytes_per_sequence(const MoeModel& model, DType kv, std::int64_t context,
                            std::int64_t tp) {
  Bytes sum;
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    const Block& block = model.layer(i);
    if (block.stack == Stack::decoder) {
      sum += kv_bytes_per_sequence(block.attention, kv, context, model.kv.page_tokens, tp);
    }
  }
  return sum;
}

Bytes state_bytes_per_sequence(const MoeModel& model, std::int64_t tp) {
  Bytes sum;
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    sum += state_bytes_per_sequence(model.layer(i).attention, tp);
  }
  return sum;
}

}  // namespace moesim
