// One reader per architecture: which keys of its config.json mean what.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "models/network/hf_config_internal.h"

namespace moesim::detail {
namespace {

using Json = nlohmann::json;

std::vector<bool> pattern(HfReader& reader, std::string_view key) {
  return std::vector<bool>(static_cast<std::size_t>(reader.integer(key, hf_most_layers)));
}

Json moe(std::int64_t experts, std::int64_t inter, Json router) {
  return {{"kind", "moe"},
          {"experts", Json::array({{{"count", experts}, {"kind", "ffn"}, {"inter", inter}}})},
          {"router", std::move(router)}};
}

Json shared(std::int64_t count, std::int64_t inter, bool gated) {
  return Json::array({{{"count", count}, {"inter", inter}, {"gated", gated}}});
}

// Every decoder_sparse_step-th layer is sparse, but for those listed as dense.
std::vector<bool> qwen_pattern(HfReader& reader) {
  std::vector<bool> sparse = pattern(reader, "num_hidden_layers");
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

Json qwen_moe(HfReader& reader, const Json& attention, const Json& sparse) {
  const std::vector<bool> layers = qwen_pattern(reader);
  const bool dense = std::ranges::find(layers, false) != layers.end();
  // Present in every file, used only by dense layers.
  const std::int64_t inter = dense ? reader.integer("intermediate_size", hf_largest)
                                   : reader.integer_or("intermediate_size", 1, hf_largest);
  return hf_document(reader, false, hf_blocks(layers, attention, hf_dense(inter), sparse));
}

Json qwen_routed(HfReader& reader) {
  return moe(reader.integer("num_experts", hf_largest),
             reader.integer("moe_intermediate_size", hf_largest),
             {{"top_k", reader.integer("num_experts_per_tok", hf_largest)}});
}

Json dense_model(HfReader& reader, const Json& attention, bool tied, bool mlp_bias) {
  Json ffn = hf_dense(reader.integer("intermediate_size", hf_largest));
  ffn["bias"] = mlp_bias;
  return hf_document(reader, tied,
                     hf_blocks(pattern(reader, "num_hidden_layers"), attention, ffn, ffn));
}

Json read_deepseek(HfReader& reader, std::string_view default_method) {
  std::vector<bool> layers = pattern(reader, "num_hidden_layers");
  const Json dense = hf_dense(reader.integer("intermediate_size", hf_largest));
  const std::int64_t experts = reader.integer_or("n_routed_experts", 0, hf_largest);
  if (experts == 0) {
    return hf_document(reader, false, hf_blocks(layers, hf_mla(reader), dense, dense));
  }
  const auto first =
      static_cast<std::size_t>(reader.integer_or("first_k_dense_replace", 0, hf_most_layers));
  const auto step = static_cast<std::size_t>(
      std::max<std::int64_t>(1, reader.integer_or("moe_layer_freq", 1, hf_most_layers)));
  for (std::size_t i = 0; i < layers.size(); ++i) {
    layers[i] = i >= first && i % step == 0;
  }
  // "greedy" (V2-Lite) looks at all experts; the others rank groups first. "noaux_tc" (V3) adds a
  // selection bias.
  const std::string method = reader.text_or("topk_method", default_method);
  const std::int64_t groups = reader.integer_or("n_group", 1, hf_largest);
  const std::int64_t top_groups = reader.integer_or("topk_group", 1, hf_largest);
  const bool limited = method != "greedy" && groups > 1;
  const std::int64_t inter = reader.integer("moe_intermediate_size", hf_largest);
  Json sparse = moe(experts, inter,
                    {{"top_k", reader.integer("num_experts_per_tok", hf_largest)},
                     {"groups", limited ? groups : 1},
                     {"top_groups", limited ? top_groups : 1},
                     {"bias", method == "noaux_tc"}});
  const std::int64_t shared_experts = reader.integer_or("n_shared_experts", 0, hf_largest);
  if (shared_experts > 0) {
    sparse["shared"] = shared(shared_experts, inter, false);
  }
  return hf_document(reader, false, hf_blocks(layers, hf_mla(reader), dense, sparse));
}

}  // namespace

Json read_deepseek_v2(HfReader& reader) { return read_deepseek(reader, "greedy"); }
Json read_deepseek_v3(HfReader& reader) { return read_deepseek(reader, "noaux_tc"); }

// A published layer is two blocks; the MoE takes the first one's FFN norm and is added behind the
// second (2509.01322, section 2.2).
Json read_longcat(HfReader& reader) {
  const Json attention = hf_mla(reader);
  const Json dense = hf_dense(reader.integer("ffn_hidden_size", hf_largest));
  Json sparse = moe(reader.integer("n_routed_experts", hf_largest),
                    reader.integer("expert_ffn_hidden_size", hf_largest),
                    {{"top_k", reader.integer("moe_topk", hf_largest)}, {"bias", true}});
  const std::int64_t free = reader.integer_or("zero_expert_num", 0, hf_largest);
  if (reader.text_or("zero_expert_type", "identity") != "identity") {
    reader.fail("zero_expert_type", "only \"identity\" is read");
  }
  if (free > 0) {
    sparse["experts"].push_back({{"count", free}, {"kind", "copy"}});
  }
  sparse["shortcut"] = {{"input", "ffn_norm"}, {"adds_after_blocks", 1}};
  reader.ignore("router_bias");
  reader.ignore("num_hidden_layers");  // counts blocks where it is given
  const Json blocks = Json::array(
      {{{"repeat", reader.integer("num_layers", hf_most_layers)},
        {"blocks", Json::array({{{"attention", attention}, {"ffn", Json::array({sparse, dense})}},
                                {{"attention", attention}, {"ffn", Json::array({dense})}}})}}});
  return hf_document(reader, false, blocks);
}

Json read_mixtral(HfReader& reader) {
  const Json sparse = moe(reader.integer("num_local_experts", hf_largest),
                          reader.integer("intermediate_size", hf_largest),
                          {{"top_k", reader.integer("num_experts_per_tok", hf_largest)}});
  return hf_document(
      reader, false,
      hf_blocks(pattern(reader, "num_hidden_layers"), hf_gqa(reader), sparse, sparse));
}

Json read_olmoe(HfReader& reader) {
  Json attention = hf_gqa(reader);
  attention["qk_norm"] = "full";
  attention["qkv_bias"] = reader.boolean_or("attention_bias", false);
  attention["output_bias"] = attention["qkv_bias"];
  const Json sparse = moe(reader.integer("num_experts", hf_largest),
                          reader.integer("intermediate_size", hf_largest),
                          {{"top_k", reader.integer("num_experts_per_tok", hf_largest)}});
  return hf_document(reader, false,
                     hf_blocks(pattern(reader, "num_hidden_layers"), attention, sparse, sparse));
}

Json read_qwen2_moe(HfReader& reader) {
  Json attention = hf_gqa(reader);
  attention["qkv_bias"] = reader.boolean_or("qkv_bias", true);
  Json sparse = qwen_routed(reader);
  const std::int64_t width = reader.integer_or("shared_expert_intermediate_size", 0, hf_largest);
  if (width > 0) {
    sparse["shared"] = shared(1, width, true);
  }
  return qwen_moe(reader, attention, sparse);
}

Json read_qwen3_moe(HfReader& reader) {
  Json attention = hf_gqa(reader);
  attention["qk_norm"] = "head";
  attention["qkv_bias"] = reader.boolean_or("attention_bias", false);
  attention["output_bias"] = attention["qkv_bias"];
  return qwen_moe(reader, attention, qwen_routed(reader));
}

// MoGE (2505.21411): eight groups, as many of each as top_k / 8. The count of groups stands in the
// model's code, not in its config.
Json read_pangu(HfReader& reader) {
  constexpr std::int64_t groups = 8;
  Json attention = hf_gqa(reader);
  attention["qkv_bias"] = true;
  attention["output_bias"] = true;
  const std::int64_t top_k = reader.integer("num_experts_per_tok", hf_largest);
  if (top_k % groups != 0) {
    reader.fail("num_experts_per_tok", "must be a multiple of the 8 expert groups");
  }
  // The bias is the router's scale, a vector over the experts.
  Json sparse =
      moe(reader.integer("num_experts", hf_largest),
          reader.integer("moe_intermediate_size", hf_largest),
          {{"top_k", top_k}, {"groups", groups}, {"per_group_k", top_k / groups}, {"bias", true}});
  const std::int64_t width = reader.integer_or("shared_expert_intermediate_size", 0, hf_largest);
  if (width > 0) {
    sparse["shared"] = shared(1, width, false);
  }
  reader.ignore("intermediate_size");
  reader.ignore("bias");
  return hf_document(reader, false,
                     hf_blocks(pattern(reader, "num_hidden_layers"), attention, sparse, sparse));
}

Json read_llama(HfReader& reader) {
  Json attention = hf_gqa(reader);
  attention["qkv_bias"] = reader.boolean_or("attention_bias", false);
  attention["output_bias"] = attention["qkv_bias"];
  return dense_model(reader, attention, false, reader.boolean_or("mlp_bias", false));
}

Json read_qwen2(HfReader& reader) {
  Json attention = hf_gqa(reader);
  attention["qkv_bias"] = true;
  return dense_model(reader, attention, false, false);
}

Json read_qwen3(HfReader& reader) {
  Json attention = hf_gqa(reader);
  attention["qk_norm"] = "head";
  attention["qkv_bias"] = reader.boolean_or("attention_bias", false);
  attention["output_bias"] = attention["qkv_bias"];
  return dense_model(reader, attention, false, false);
}

namespace {

// Layers 1, 1 + step, ...: step = layers / sparse layers.
std::vector<bool> switch_pattern(std::int64_t layers, std::int64_t sparse) {
  std::vector<bool> moe_layers(static_cast<std::size_t>(layers));
  const std::int64_t step = sparse > 0 ? std::max<std::int64_t>(1, layers / sparse) : 0;
  for (std::int64_t i = 0; i < layers && step > 0; ++i) {
    moe_layers[static_cast<std::size_t>(i)] = step == 1 || i % step == 1;
  }
  return moe_layers;
}

Json switch_ffn(HfReader& reader) {
  const bool gated = reader.boolean_or("is_gated_act", false) ||
                     reader.text_or("feed_forward_proj", "relu").starts_with("gated");
  return {{"inter", reader.integer("d_ff", hf_largest)}, {"matrices", gated ? 3 : 2}};
}

}  // namespace

Json read_switch(HfReader& reader) {
  const std::int64_t heads = reader.integer("num_heads", hf_largest);
  const Json attention = {
      {"kind", "mha"}, {"heads", heads}, {"head_dim", reader.integer("d_kv", hf_largest)}};
  Json dense = switch_ffn(reader);
  Json expert = dense;
  dense["kind"] = "dense";
  expert["kind"] = "ffn";
  expert["count"] = reader.integer("num_experts", hf_largest);
  const Json sparse = {{"kind", "moe"},
                       {"experts", Json::array({expert})},
                       {"router",
                        {{"top_k", reader.integer_or("num_selected_experts", 1, hf_largest)},
                         {"bias", reader.boolean_or("router_bias", false)}}}};
  const std::int64_t encoder_layers = reader.integer("num_layers", hf_most_layers);
  const std::int64_t decoder_layers =
      reader.integer_or("num_decoder_layers", encoder_layers, hf_most_layers);
  const std::int64_t sparse_encoder =
      reader.integer_or("num_sparse_encoder_layers", 3, hf_most_layers);
  const std::int64_t sparse_decoder =
      reader.integer_or("num_sparse_decoder_layers", 3, hf_most_layers);
  for (const std::string_view key : {"encoder_sparse_step", "decoder_sparse_step",
                                     "num_hidden_layers", "num_attention_heads", "hidden_size"}) {
    reader.ignore(key);
  }
  Json blocks = Json::array();
  for (Json& entry :
       hf_blocks(switch_pattern(encoder_layers, sparse_encoder), attention, dense, sparse)) {
    entry["stack"] = "encoder";
    blocks.push_back(entry);
  }
  for (Json& entry :
       hf_blocks(switch_pattern(decoder_layers, sparse_decoder), attention, dense, sparse)) {
    entry["cross_attention"] = attention;
    blocks.push_back(entry);
  }
  return {{"schema", 1},
          {"vocabulary", reader.integer("vocab_size", hf_largest)},
          {"hidden", reader.integer("d_model", hf_largest)},
          {"tied_embeddings", reader.boolean_or("tie_word_embeddings", true)},
          {"blocks", std::move(blocks)}};
}

}  // namespace moesim::detail
