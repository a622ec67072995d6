// Qwen2, Qwen3, their MoE and vision variants, Qwen3-Next and Qwen3.5; MiMo-7B, built on Qwen2.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "models/network/hf_reader.h"

namespace moesim::detail {
namespace {

using Json = nlohmann::json;

// Every decoder_sparse_step-th layer is sparse, but for those listed as dense.
std::vector<bool> sparse_layers(HfReader& reader) {
  std::vector<bool> sparse(static_cast<std::size_t>(hf_layer_count(reader)));
  const std::int64_t step =
      std::max<std::int64_t>(1, reader.integer_or("decoder_sparse_step", 1, hf_most_layers));
  for (std::size_t i = 0; i < sparse.size(); ++i) {
    sparse[i] = (static_cast<std::int64_t>(i) + 1) % step == 0;
  }
  for (const std::int64_t layer : reader.integers("mlp_only_layers", hf_most_layers)) {
    if (layer < static_cast<std::int64_t>(sparse.size())) {
      sparse[static_cast<std::size_t>(layer)] = false;
    }
  }
  return sparse;
}

// A window counts only where use_sliding_window turns it on, in layers behind max_window_layers.
void add_windows(HfReader& reader, HfLayers& layers) {
  const std::int64_t window = reader.integer_or("sliding_window", 0, hf_largest);
  const bool on = reader.boolean_or("use_sliding_window", false);
  const std::int64_t first = reader.integer_or("max_window_layers", 0, hf_most_layers);
  const std::vector<std::string> types = reader.texts("layer_types");
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const std::string type = i < types.size() ? types[i] : "";
    if (!type.empty() && type != "full_attention" && type != "sliding_attention") {
      reader.fail("layer_types", "\"" + type +
                                     "\" is not one of: full_attention, "
                                     "sliding_attention");
    }
    const bool slides =
        types.empty() ? on && static_cast<std::int64_t>(i) >= first : type == "sliding_attention";
    if (slides && window == 0) {
      reader.fail("sliding_window", "is missing, but layers use it");
    }
    if (slides) {
      layers[i]["attention"]["window"] = window;
    }
  }
}

Json routed(HfReader& reader) {
  return hf_moe(reader.integer({"num_experts", "num_local_experts"}, hf_largest),
                reader.integer("moe_intermediate_size", hf_largest),
                {{"top_k", reader.integer("num_experts_per_tok", hf_largest)}});
}

Json moe_model(HfReader& reader, const Json& attention, const Json& sparse) {
  const std::vector<bool> moe = sparse_layers(reader);
  const bool dense = std::ranges::find(moe, false) != moe.end();
  // Present in every file, used only by dense layers.
  const std::int64_t inter = dense ? reader.integer("intermediate_size", hf_largest)
                                   : reader.integer_or("intermediate_size", 1, hf_largest);
  HfLayers layers = hf_layers(moe, attention, hf_dense(std::max<std::int64_t>(1, inter)), sparse);
  add_windows(reader, layers);
  return hf_document(reader, false, std::move(layers));
}

Json dense_model(HfReader& reader, const Json& attention, bool tied) {
  const Json ffn = hf_dense(reader.integer("intermediate_size", hf_largest));
  HfLayers layers(static_cast<std::size_t>(hf_layer_count(reader)), hf_layer(attention, ffn));
  add_windows(reader, layers);
  return hf_document(reader, tied, std::move(layers));
}

Json qwen3_attention(HfReader& reader, std::int64_t kv_heads, std::int64_t head_dim) {
  Json attention = hf_gqa(reader, kv_heads, head_dim);
  attention["qk_norm"] = "head";
  hf_attention_bias(reader, attention, true);
  return attention;
}

}  // namespace

Json read_qwen2(HfReader& reader) {
  Json attention = hf_gqa(reader, 32);
  attention["qkv_bias"] = true;
  return dense_model(reader, attention, false);
}

Json read_qwen2_moe(HfReader& reader) {
  Json attention = hf_gqa(reader, 16);
  attention["qkv_bias"] = reader.boolean_or("qkv_bias", true);
  Json sparse = routed(reader);
  const std::int64_t width =
      reader.has("shared_expert_intermediate_size")
          ? reader.integer_or("shared_expert_intermediate_size", 0, hf_largest)
          : reader.documented("shared_expert_intermediate_size", 5632, hf_largest);
  if (width > 0) {
    sparse["shared"] = hf_shared(1, width, true);
  }
  return moe_model(reader, attention, sparse);
}

Json read_qwen3(HfReader& reader) {
  return dense_model(reader, qwen3_attention(reader, 32, 128), false);
}

Json read_qwen3_moe(HfReader& reader) {
  const Json attention = qwen3_attention(reader, 4, 0);
  return moe_model(reader, attention, routed(reader));
}

// Qwen3-Next and Qwen3.5: gated delta nets, every fourth layer gated attention.
Json read_qwen3_next(HfReader& reader) {
  Json full = qwen3_attention(reader, 2, 256);
  full["output_gate"] = reader.boolean_or("attn_output_gate", true);
  const Json linear = {{"kind", "linear"},
                       {"value_heads", reader.documented("linear_num_value_heads", 32, hf_largest)},
                       {"key_heads", reader.documented("linear_num_key_heads", 16, hf_largest)},
                       {"key_dim", reader.documented("linear_key_head_dim", 128, hf_largest)},
                       {"value_dim", reader.documented("linear_value_head_dim", 128, hf_largest)},
                       {"conv_width", reader.documented("linear_conv_kernel_dim", 4, 64)}};
  Json sparse;
  std::vector<bool> moe;
  if (reader.has("num_experts") && reader.integer_or("num_experts", 0, hf_largest) > 0) {
    sparse = routed(reader);
    sparse["shared"] =
        hf_shared(1, reader.integer("shared_expert_intermediate_size", hf_largest), true);
    moe = sparse_layers(reader);
  } else {
    moe.resize(static_cast<std::size_t>(hf_layer_count(reader)));
  }
  Json dense;
  if (std::ranges::find(moe, false) != moe.end()) {
    dense = hf_dense(reader.integer("intermediate_size", hf_largest));
  }
  reader.ignore({"intermediate_size"});
  const std::int64_t interval =
      std::max<std::int64_t>(1, reader.integer_or("full_attention_interval", 4, hf_most_layers));
  std::vector<std::string> types = reader.texts("layer_types");
  if (types.empty()) {
    for (std::size_t i = 0; i < moe.size(); ++i) {
      types.emplace_back((static_cast<std::int64_t>(i) + 1) % interval == 0 ? "full_attention"
                                                                            : "linear_attention");
    }
  }
  if (types.size() != moe.size()) {
    reader.fail("layer_types", "has not one entry per layer");
  }
  HfLayers layers;
  for (std::size_t i = 0; i < moe.size(); ++i) {
    if (types[i] != "full_attention" && types[i] != "linear_attention") {
      reader.fail("layer_types", "\"" + types[i] +
                                     "\" is not one of: full_attention, "
                                     "linear_attention");
    }
    layers.push_back(
        hf_layer(types[i] == "full_attention" ? full : linear, moe[i] ? sparse : dense));
  }
  const Json last = layers.back()["ffn"][0];
  Json document = hf_document(reader, false, std::move(layers));
  hf_mtp(document, reader.integer_or("mtp_num_hidden_layers", 0, 64), hf_layer(full, last));
  return document;
}

Json read_mimo(HfReader& reader) {
  Json attention = hf_gqa(reader, 32);
  hf_attention_bias(reader, attention, false, true);
  Json document = dense_model(reader, attention, false);
  hf_mtp(document, reader.integer_or("num_nextn_predict_layers", 0, 64),
         Json(document["blocks"].back()));
  return document;
}

// MoGE (2505.21411): eight groups, as many of each as top_k / 8. The count of groups stands in the
// model's code, not in its config.
Json read_pangu(HfReader& reader) {
  constexpr std::int64_t groups = 8;
  Json attention = hf_gqa(reader, 0);
  attention["qkv_bias"] = true;
  attention["output_bias"] = true;
  const std::int64_t top_k = reader.integer("num_experts_per_tok", hf_largest);
  if (top_k % groups != 0) {
    reader.fail("num_experts_per_tok", "must be a multiple of the 8 expert groups");
  }
  // The bias is the router's scale, a vector over the experts.
  Json sparse = hf_moe(
      reader.integer("num_experts", hf_largest),
      reader.integer("moe_intermediate_size", hf_largest),
      {{"top_k", top_k}, {"groups", groups}, {"per_group_k", top_k / groups}, {"bias", true}});
  const std::int64_t width = reader.integer_or("shared_expert_intermediate_size", 0, hf_largest);
  if (width > 0) {
    sparse["shared"] = hf_shared(1, width);
  }
  reader.ignore({"intermediate_size", "bias"});
  return hf_document(
      reader, false,
      HfLayers(static_cast<std::size_t>(hf_layer_count(reader)), hf_layer(attention, sparse)));
}

Json read_olmoe(HfReader& reader) {
  Json attention = hf_gqa(reader, 16);
  attention["qk_norm"] = "full";
  hf_attention_bias(reader, attention, true);
  const Json sparse = hf_moe(reader.integer("num_experts", hf_largest),
                             reader.integer("intermediate_size", hf_largest),
                             {{"top_k", reader.integer("num_experts_per_tok", hf_largest)}});
  return hf_document(
      reader, false,
      HfLayers(static_cast<std::size_t>(hf_layer_count(reader)), hf_layer(attention, sparse)));
}

}  // namespace moesim::detail
