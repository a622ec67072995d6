// The attention of a block: which keys each kind has.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "models/network/moe_model_parse.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr std::array<std::string_view, 7> attention_kinds{"mha",   "gqa",        "mla", "linear",
                                                          "mamba", "compressed", "none"};
constexpr std::array<std::string_view, 3> qk_norms{"none", "head", "full"};

template <class Enum, std::size_t N>
Enum chosen(const std::array<std::string_view, N>& names, std::string_view name) {
  return static_cast<Enum>(std::ranges::find(names, name) - names.begin());
}

std::string text_of(std::int64_t number) { return std::to_string(number); }

void need_divisor(ConfigObject& object, std::string_view key, std::int64_t part,
                  std::string_view of_what, std::int64_t whole) {
  if (whole % part != 0) {
    object.fail(key,
                text_of(part) + " does not divide " + std::string(of_what) + " " + text_of(whole));
  }
}

void parse_softmax_attention(ConfigObject& object, Attention& attention) {
  attention.heads = object.integer("heads", 1, model_limits::heads);
  attention.kv_heads = attention.kind == AttentionKind::mha
                           ? object.integer_or("kv_heads", attention.heads, 1, model_limits::heads)
                           : object.integer("kv_heads", 1, model_limits::heads);
  attention.head_dim = object.integer("head_dim", 1, model_limits::head_dim);
  attention.value_dim =
      object.integer_or("value_dim", attention.head_dim, 1, model_limits::head_dim);
  if (attention.kind == AttentionKind::mha && attention.kv_heads != attention.heads) {
    object.fail("kv_heads", text_of(attention.kv_heads) + " differs from heads " +
                                text_of(attention.heads) + "; that is kind \"gqa\"");
  }
  need_divisor(object, "kv_heads", attention.kv_heads, "heads", attention.heads);
  attention.qk_norm = chosen<QkNorm>(qk_norms, object.choice_or("qk_norm", "none", qk_norms));
  attention.window = object.integer_or("window", 0, 0, model_limits::tokens);
  attention.chunk = object.integer_or("chunk", 0, 0, model_limits::tokens);
  if (attention.window > 0 && attention.chunk > 0) {
    object.fail("chunk", "stands beside window; queries see one or the other");
  }
  attention.sinks = object.boolean_or("sinks", false);
  attention.output_gate = object.boolean_or("output_gate", false);
  attention.head_gate = object.boolean_or("head_gate", false);
  attention.reuses_kv = object.boolean_or("reuses_kv", false);
  attention.keys_are_values = object.boolean_or("keys_are_values", false);
  if (attention.keys_are_values && attention.value_dim != attention.head_dim) {
    object.fail("keys_are_values", "but value_dim differs from head_dim");
  }
}

void parse_indexer(ConfigObject& object, Attention& attention) {
  if (auto indexer = object.object_if("indexer")) {
    attention.indexer = Indexer{.heads = indexer->integer("heads", 1, model_limits::heads),
                                .head_dim = indexer->integer("head_dim", 1, model_limits::head_dim),
                                .top_k = indexer->integer("top_k", 1, model_limits::tokens)};
    indexer->reject_unknown_keys();
    if (attention.q_rank == 0) {
      object.fail("indexer", "takes compressed queries; q_rank must be more than 0");
    }
  }
}

void parse_latent_attention(ConfigObject& object, Attention& attention) {
  attention.heads = object.integer("heads", 1, model_limits::heads);
  attention.kv_heads = attention.heads;
  attention.q_rank = object.integer_or("q_rank", 0, 0, model_limits::hidden);
  attention.kv_rank = object.integer("kv_rank", 1, model_limits::hidden);
  attention.nope_dim = object.integer("nope_dim", 1, model_limits::head_dim);
  attention.rope_dim = object.integer("rope_dim", 0, model_limits::head_dim);
  attention.value_dim = object.integer("value_dim", 1, model_limits::head_dim);
  parse_indexer(object, attention);
}

void parse_linear_attention(ConfigObject& object, Attention& attention) {
  attention.heads = object.integer("value_heads", 1, model_limits::heads);
  attention.kv_heads = object.integer("key_heads", 1, model_limits::heads);
  attention.head_dim = object.integer("key_dim", 1, model_limits::head_dim);
  attention.value_dim = object.integer("value_dim", 1, model_limits::head_dim);
  attention.conv_width = object.integer_or("conv_width", 4, 0, 64);
  attention.output_gate = object.boolean_or("output_gate", true);
  attention.delta = object.boolean_or("delta", true);
  need_divisor(object, "key_heads", attention.kv_heads, "value_heads", attention.heads);
}

void parse_mamba(ConfigObject& object, Attention& attention) {
  attention.heads = object.integer("heads", 1, model_limits::channels);
  attention.head_dim = object.integer("head_dim", 1, model_limits::head_dim);
  attention.value_dim = object.integer("state_dim", 1, model_limits::head_dim);
  attention.kv_heads = object.integer_or("groups", 1, 1, model_limits::heads);
  attention.conv_width = object.integer_or("conv_width", 4, 0, 64);
  attention.conv_bias = object.boolean_or("conv_bias", true);
  attention.dt_rank = object.integer_or("dt_rank", 0, 0, model_limits::hidden);
  attention.state_norms = object.boolean_or("state_norms", false);
  need_divisor(object, "groups", attention.kv_heads, "heads", attention.heads);
  if (attention.dt_rank > 0 && (attention.head_dim != 1 || attention.kv_heads != 1)) {
    object.fail("dt_rank", "is Mamba-1's, whose heads are single channels in one group");
  }
}

void parse_compressed_attention(ConfigObject& object, Attention& attention) {
  attention.heads = object.integer("heads", 1, model_limits::heads);
  attention.kv_heads = 1;
  attention.head_dim = object.integer("head_dim", 1, model_limits::head_dim);
  attention.rope_dim = object.integer_or("rope_dim", 0, 0, model_limits::head_dim);
  attention.q_rank = object.integer("q_rank", 1, model_limits::hidden);
  attention.window = object.integer("window", 1, model_limits::tokens);
  attention.compress = object.integer_or("compress", 0, 0, model_limits::tokens);
  attention.o_groups = object.integer("o_groups", 1, model_limits::heads);
  attention.o_rank = object.integer("o_rank", 1, model_limits::hidden);
  attention.sinks = object.boolean_or("sinks", false);
  need_divisor(object, "o_groups", attention.o_groups, "heads", attention.heads);
  parse_indexer(object, attention);
  if (attention.indexer && attention.compress == 0) {
    object.fail("indexer", "chooses among compressed entries; compress must be more than 0");
  }
}

}  // namespace

Attention parse_attention(ConfigObject object) {
  Attention attention;
  attention.kind = chosen<AttentionKind>(attention_kinds, object.choice("kind", attention_kinds));
  switch (attention.kind) {
    case AttentionKind::mha:
    case AttentionKind::gqa:
      parse_softmax_attention(object, attention);
      break;
    case AttentionKind::mla:
      parse_latent_attention(object, attention);
      break;
    case AttentionKind::linear:
      parse_linear_attention(object, attention);
      break;
    case AttentionKind::mamba:
      parse_mamba(object, attention);
      break;
    case AttentionKind::compressed:
      parse_compressed_attention(object, attention);
      break;
    case AttentionKind::none:
      object.reject_unknown_keys();
      return attention;
  }
  attention.qkv_bias = object.boolean_or("qkv_bias", false);
  attention.output_bias = object.boolean_or("output_bias", false);
  attention.weight_bits = object.number_or("bits", 0, 0, model_limits::bits);
  object.reject_unknown_keys();
  return attention;
}

}  // namespace moesim
