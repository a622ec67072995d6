// Weights and cache of one attention, by kind.
#include "models/network/attention_size.h"

#include <algorithm>

#include "models/network/moe_model_size.h"
#include "sim/core/error.h"

namespace moesim {

namespace detail {

double kv_share(std::int64_t kv_heads, std::int64_t tp) {
  return std::max(1.0 / real(tp), 1.0 / real(kv_heads));
}

namespace {

// q: h x heads d; k: h x kv_heads d; v: h x kv_heads v; o: heads v x h; gates: h x heads v, or
// h x heads. Layers that reuse keys and values have q and o alone.
AttentionWeights softmax_weights(const Attention& a, double hidden) {
  const double q = real(a.heads) * real(a.head_dim);
  const double out = real(a.heads) * real(a.value_dim);
  const double k = a.reuses_kv ? 0 : real(a.kv_heads) * real(a.head_dim);
  const double v = a.reuses_kv || a.keys_are_values ? 0 : real(a.kv_heads) * real(a.value_dim);
  double norms = 0;
  if (a.qk_norm == QkNorm::head) {
    norms = (a.reuses_kv ? 1 : 2) * real(a.head_dim);
  } else if (a.qk_norm == QkNorm::full) {
    norms = q + k;
  }
  const double gate = (a.output_gate ? out : 0) + (a.head_gate ? real(a.heads) : 0);
  return {.split_by_heads = hidden * q + hidden * out + hidden * gate,
          .split_by_kv_heads = hidden * (k + v),
          .replicated = 0,
          .vectors = norms + (a.sinks ? real(a.heads) : 0) + (a.qkv_bias ? q + k + v : 0) +
                     (a.output_bias ? hidden : 0)};
}

// DeepSeek-V2 (2405.04434), section 2.1: q_a: h x q_rank, q_b: q_rank x heads (nope + rope) or
// q: h x heads (nope + rope); kv_a: h x (kv_rank + rope); kv_b: kv_rank x heads (nope + value);
// o: heads value x h. The compressions are replicated, and so is DeepSeek-V3.2's indexer: queries
// q_rank x heads d, one key h x d with a layer norm, a weight per head h x heads.
AttentionWeights latent_weights(const Attention& a, double hidden) {
  const double heads = real(a.heads);
  const double q_in = a.q_rank > 0 ? real(a.q_rank) : hidden;
  const double q = q_in * heads * real(a.nope_dim + a.rope_dim);
  const double kv_b = real(a.kv_rank) * heads * real(a.nope_dim + a.value_dim);
  const double o = heads * real(a.value_dim) * hidden;
  const double kv_a = hidden * real(a.kv_rank + a.rope_dim);
  AttentionWeights w{.split_by_heads = q + kv_b + o,
                     .split_by_kv_heads = 0,
                     .replicated = kv_a + hidden * real(a.q_rank),
                     .vectors = real(a.q_rank) + real(a.kv_rank) +
                                (a.qkv_bias ? real(a.q_rank) + real(a.kv_rank + a.rope_dim) : 0) +
                                (a.output_bias ? hidden : 0)};
  if (a.indexer) {
    const double dim = real(a.indexer->head_dim);
    w.replicated +=
        real(a.q_rank) * real(a.indexer->heads) * dim + hidden * (dim + real(a.indexer->heads));
    w.vectors += 2 * dim;
  }
  return w;
}

// Gated delta rule (Yang et al. 2412.06464) as in Qwen3-Next: q, k: h x key_heads key_dim each,
// v (and output gate): h x heads value_dim, decay and step size: h x heads each; depthwise
// convolutions over q, k, v; o: heads value_dim x h. Lightning attention (2501.08313) has neither
// decay nor step size and norms all values at once.
AttentionWeights linear_weights(const Attention& a, double hidden) {
  const double keys = 2 * real(a.kv_heads) * real(a.head_dim);
  const double values = real(a.heads) * real(a.value_dim);
  const double gate = a.output_gate ? values : 0;
  const double rates = a.delta ? 2 * real(a.heads) : 0;
  return {.split_by_heads = hidden * (values + gate + rates) + values * hidden,
          .split_by_kv_heads = hidden * keys,
          .replicated = 0,
          .vectors = real(a.conv_width) * (keys + values) + rates +
                     (a.delta ? real(a.value_dim) : values) + (a.qkv_bias ? keys + values : 0) +
                     (a.output_bias ? hidden : 0)};
}

// Mamba-2 (2405.21060): x and gate: h x c each, B and C: h x groups state each, step: h x heads;
// a convolution over x, B, C; a decay, a skip and a step bias per head; a gated norm; out: c x h.
// Mamba-1 (2312.00752): x and gate; from x a compressed step, B and C: c x (dt_rank + 2 state); the
// step: dt_rank x c; decays c x state; out.
AttentionWeights mamba_weights(const Attention& a, double hidden) {
  const double channels = real(a.heads) * real(a.head_dim);
  const double state = real(a.value_dim);
  const double biases = (a.qkv_bias ? 2 * channels : 0) + (a.output_bias ? hidden : 0);
  const double conv = real(a.conv_width) + (a.conv_bias ? 1 : 0);
  if (a.dt_rank > 0) {
    const double rank = real(a.dt_rank);
    return {
        .split_by_heads = 3 * hidden * channels + channels * (2 * rank + 2 * state),
        .split_by_kv_heads = 0,
        .replicated = 0,
        .vectors = channels * (conv + state + 2) + (a.state_norms ? rank + 2 * state : 0) + biases};
  }
  const double mixed = 2 * real(a.kv_heads) * state;
  return {.split_by_heads = hidden * (3 * channels + real(a.heads)),
          .split_by_kv_heads = hidden * mixed,
          .replicated = 0,
          .vectors = conv * (channels + mixed) + 3 * real(a.heads) + channels +
                     (a.qkv_bias ? mixed + real(a.heads) : 0) + biases};
}

// DeepSeek-V4: queries as in latent attention, q_rank x heads d; one vector h x d for key and
// value; o: per group of heads to o_rank, then o_groups o_rank x h. Pooling: values and scores,
// h x d each (twice where an indexer chooses, whose pools overlap), a bias per position and a norm;
// the indexer pools keys of its own.
AttentionWeights compressed_weights(const Attention& a, double hidden) {
  const double d = real(a.head_dim);
  const double wide = real(a.heads) * d;
  AttentionWeights w{.split_by_heads = real(a.q_rank) * wide + wide * real(a.o_rank) +
                                       real(a.o_groups) * real(a.o_rank) * hidden,
                     .split_by_kv_heads = 0,
                     .replicated = hidden * (real(a.q_rank) + d),
                     .vectors = real(a.q_rank) + d + (a.sinks ? real(a.heads) : 0)};
  const double pools = a.indexer ? 2 : 1;
  if (a.compress > 0) {
    w.replicated += 2 * hidden * pools * d;
    w.vectors += real(a.compress) * pools * d + d;
  }
  if (a.indexer) {
    const double dim = real(a.indexer->head_dim);
    w.replicated += real(a.q_rank) * real(a.indexer->heads) * dim +
                    hidden * (real(a.indexer->heads) + 2 * pools * dim);
    w.vectors += real(a.compress) * pools * dim + dim;
  }
  return w;
}

}  // namespace

AttentionWeights weights_of(const Attention& attention, double hidden) {
  switch (attention.kind) {
    case AttentionKind::mha:
    case AttentionKind::gqa:
      return softmax_weights(attention, hidden);
    case AttentionKind::mla:
      return latent_weights(attention, hidden);
    case AttentionKind::linear:
      return linear_weights(attention, hidden);
    case AttentionKind::mamba:
      return mamba_weights(attention, hidden);
    case AttentionKind::compressed:
      return compressed_weights(attention, hidden);
    case AttentionKind::none:
      return {};
  }
  throw InvariantError("every attention kind has weights");
}

}  // namespace detail

using detail::kv_share;
using detail::real;
using detail::stored;

namespace {

// An indexer's keys are kept in fp8 with a 4-byte scale per 128 values, whatever the cache's format
// (DeepSeek-V3.2's own code and vLLM).
Bytes index_key_bytes(const Indexer& indexer) {
  const double scales = real((indexer.head_dim + 127) / 128);
  return stored(real(indexer.head_dim), 0, DType::fp8) + stored(scales, 0, DType::fp32);
}

// Of one cached entry, without an indexer's key.
Bytes entry_bytes(const Attention& a, DType kv, std::int64_t tp) {
  switch (a.kind) {
    case AttentionKind::mha:
    case AttentionKind::gqa:
      return a.reuses_kv ? Bytes()
                         : stored(real(a.kv_heads) * real(a.head_dim + a.value_dim) *
                                      kv_share(a.kv_heads, tp),
                                  0, kv);
    case AttentionKind::mla:
      return stored(real(a.kv_rank + a.rope_dim), 0, kv);
    case AttentionKind::compressed:
      return stored(real(a.head_dim), 0, kv);
    default:
      return Bytes();
  }
}

std::int64_t paged(std::int64_t tokens, std::int64_t page) {
  return (tokens + page - 1) / page * page;
}

// Keys of a sequence that a layer still needs.
std::int64_t kept(const Attention& a, std::int64_t context) {
  const std::int64_t most = a.window > 0 ? a.window : a.chunk;
  return most > 0 ? std::min(context, most) : context;
}

}  // namespace

Bytes kv_bytes_per_token(const Attention& a, DType kv, std::int64_t tp) {
  Bytes bytes = entry_bytes(a, kv, tp);
  const Bytes keys = a.indexer ? index_key_bytes(*a.indexer) : Bytes();
  if (a.kind == AttentionKind::compressed) {
    return a.compress > 0 ? bytes + (1.0 / real(a.compress)) * (bytes + keys) : bytes;
  }
  return bytes + keys;
}

Bytes kv_bytes_per_sequence(const Attention& a, DType kv, std::int64_t context, std::int64_t page,
                            std::int64_t tp) {
  const Bytes entry = entry_bytes(a, kv, tp);
  const Bytes keys = a.indexer ? index_key_bytes(*a.indexer) : Bytes();
  const Bytes near = real(paged(kept(a, context), page)) * entry;
  if (a.kind != AttentionKind::compressed) {
    return near + real(paged(context, page)) * keys;
  }
  return a.compress > 0 ? near + real(context / a.compress) * (entry + keys) : near;
}

Bytes state_bytes_per_sequence(const Attention& a, std::int64_t tp) {
  const double heads = real(a.heads) / real(tp);
  const double values = heads * real(a.value_dim);
  switch (a.kind) {
    case AttentionKind::linear: {
      const double window =
          real(a.conv_width) *
          (2 * real(a.kv_heads) * kv_share(a.kv_heads, tp) * real(a.head_dim) + values);
      return stored(heads * real(a.head_dim) * real(a.value_dim), 0, DType::fp32) +
             stored(window, 0, DType::bf16);
    }
    case AttentionKind::mamba: {
      const double mixed =
          a.dt_rank > 0 ? 0 : 2 * real(a.kv_heads) * kv_share(a.kv_heads, tp) * real(a.value_dim);
      const double window = real(a.conv_width) * (heads * real(a.head_dim) + mixed);
      return stored(values * real(a.head_dim), 0, DType::fp32) + stored(window, 0, DType::bf16);
    }
    case AttentionKind::compressed: {
      // Values and scores of the pools that are not full yet.
      const double pools = a.indexer ? 2 : 1;
      const double width = real(a.head_dim + (a.indexer ? a.indexer->head_dim : 0));
      return stored(2 * pools * real(a.compress) * pools * width, 0, DType::fp32);
    }
    default:
      return Bytes();
  }
}

}  // namespace moesim
