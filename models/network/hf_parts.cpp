// What readers of several architectures share: attentions, FFNs, lists of layers.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "models/network/hf_reader.h"

namespace moesim::detail {

using Json = nlohmann::json;

Json hf_runs(const HfLayers& layers) {
  Json blocks = Json::array();
  for (std::size_t i = 0; i < layers.size();) {
    std::size_t end = i + 1;
    while (end < layers.size() && layers[end] == layers[i]) {
      ++end;
    }
    Json entry = layers[i];
    if (end - i > 1) {
      entry["repeat"] = end - i;
    }
    blocks.push_back(std::move(entry));
    i = end;
  }
  return blocks;
}

std::int64_t hf_layer_count(HfReader& reader) {
  return reader.integer("num_hidden_layers", hf_most_layers);
}

Json hf_layer(const Json& attention, const Json& ffn) {
  return {{"attention", attention}, {"ffn", Json::array({ffn})}};
}

HfLayers hf_layers(const std::vector<bool>& moe, const Json& attention, const Json& dense,
                   const Json& sparse) {
  HfLayers layers;
  for (const bool is_moe : moe) {
    layers.push_back(hf_layer(attention, is_moe ? sparse : dense));
  }
  return layers;
}

Json hf_dense(std::int64_t inter, int matrices) {
  return {{"kind", "dense"}, {"inter", inter}, {"matrices", matrices}};
}

Json hf_moe(std::int64_t experts, std::int64_t inter, Json router) {
  return {{"kind", "moe"},
          {"experts", Json::array({{{"count", experts}, {"kind", "ffn"}, {"inter", inter}}})},
          {"router", std::move(router)}};
}

Json hf_grouped_moe(HfReader& reader, std::int64_t inter) {
  const std::int64_t groups =
      std::max<std::int64_t>(1, reader.integer_or("n_group", 1, hf_largest));
  return hf_moe(reader.integer("n_routed_experts", hf_largest), inter,
                {{"top_k", reader.integer("num_experts_per_tok", hf_largest)},
                 {"groups", groups},
                 {"top_groups", reader.integer_or("topk_group", groups, hf_largest)},
                 {"bias", true}});
}

Json hf_shared(std::int64_t count, std::int64_t inter, bool gated) {
  return Json::array({{{"count", count}, {"inter", inter}, {"gated", gated}}});
}

Json hf_mla(HfReader& reader) {
  Json attention = {{"kind", "mla"},
                    {"heads", reader.integer("num_attention_heads", hf_largest)},
                    {"q_rank", reader.integer_or("q_lora_rank", 0, hf_largest)},
                    {"kv_rank", reader.integer("kv_lora_rank", hf_largest)},
                    {"nope_dim", reader.integer("qk_nope_head_dim", hf_largest)},
                    {"rope_dim", reader.integer("qk_rope_head_dim", hf_largest)},
                    {"value_dim", reader.integer("v_head_dim", hf_largest)}};
  // The latent serves all heads, whatever these say.
  reader.ignore({"num_key_value_heads", "head_dim"});
  hf_attention_bias(reader, attention, true);
  return attention;
}

Json hf_gqa(HfReader& reader, std::int64_t kv_heads_default, std::int64_t head_dim_default,
            std::int64_t heads_default) {
  const std::int64_t heads =
      heads_default > 0 ? reader.documented("num_attention_heads", heads_default, hf_largest)
                        : reader.integer("num_attention_heads", hf_largest);
  const std::int64_t kv_heads = reader.documented(
      "num_key_value_heads", kv_heads_default > 0 ? kv_heads_default : heads, hf_largest);
  const std::int64_t hidden = reader.integer("hidden_size", hf_largest);
  std::int64_t head_dim = head_dim_default > 0
                              ? reader.documented("head_dim", head_dim_default, hf_largest)
                              : reader.integer_or("head_dim", 0, hf_largest);
  if (head_dim == 0) {
    if (hidden % heads != 0) {
      reader.fail("num_attention_heads", std::to_string(heads) + " does not divide hidden_size " +
                                             std::to_string(hidden) + ", and head_dim is missing");
    }
    head_dim = hidden / heads;
  }
  if (heads % kv_heads != 0) {
    reader.fail(
        "num_key_value_heads",
        std::to_string(kv_heads) + " does not divide num_attention_heads " + std::to_string(heads));
  }
  return {{"kind", kv_heads == heads ? "mha" : "gqa"},
          {"heads", heads},
          {"kv_heads", kv_heads},
          {"head_dim", head_dim}};
}

void hf_attention_bias(HfReader& reader, Json& attention, bool with_output, bool default_value) {
  const bool bias = reader.boolean_or("attention_bias", default_value);
  attention["qkv_bias"] = bias;
  attention["output_bias"] = bias && with_output;
}

std::vector<std::string> hf_layer_types(HfReader& reader, std::int64_t layers,
                                        std::initializer_list<std::string_view> known,
                                        std::string_view (*otherwise)(std::int64_t)) {
  std::vector<std::string> types = reader.texts("layer_types");
  if (types.empty()) {
    for (std::int64_t i = 0; i < layers; ++i) {
      types.emplace_back(otherwise(i));
    }
  }
  if (static_cast<std::int64_t>(types.size()) < layers) {
    reader.fail("layer_types", "has " + std::to_string(types.size()) + " entries for " +
                                   std::to_string(layers) + " layers");
  }
  types.resize(static_cast<std::size_t>(layers));  // those behind belong to prediction modules
  for (const std::string& type : types) {
    if (std::ranges::find(known, type) == known.end()) {
      std::string names;
      for (const std::string_view name : known) {
        names += names.empty() ? "" : ", ";
        names += name;
      }
      std::string message = "\"";
      message.append(type).append("\" is not one of: ").append(names);
      reader.fail("layer_types", message);
    }
  }
  return types;
}

Json hf_windowed(Json attention, std::string_view layer_type, std::int64_t window) {
  if (window > 0 && layer_type == "sliding_attention") {
    attention["window"] = window;
  } else if (window > 0 && layer_type == "chunked_attention") {
    attention["chunk"] = window;
  }
  return attention;
}

Json hf_document(HfReader& reader, bool tied_by_default, HfLayers layers,
                 std::int64_t vocabulary_default) {
  return {{"schema", 1},
          {"vocabulary", vocabulary_default > 0
                             ? reader.documented("vocab_size", vocabulary_default, hf_largest)
                             : reader.integer("vocab_size", hf_largest)},
          {"hidden", reader.integer("hidden_size", hf_largest)},
          {"tied_embeddings", reader.boolean_or("tie_word_embeddings", tied_by_default)},
          {"blocks", std::move(layers)}};
}

void hf_mtp(Json& document, std::int64_t count, const Json& layer) {
  if (count > 0) {
    document["mtp"] = layer;
    document["mtp"]["count"] = count;
  }
}

}  // namespace moesim::detail
