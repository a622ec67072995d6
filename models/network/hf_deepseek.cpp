// DeepSeek (V1 MoE, V2, V3, V3.2) and those built alike: Kimi-K2, GLM-5, GLM-4.7-Flash; LongCat.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "models/network/hf_reader.h"

namespace moesim::detail {
namespace {

using Json = nlohmann::json;

// Which layers are sparse: listed, or all but the first ones.
std::vector<bool> sparse_layers(HfReader& reader, std::size_t layers) {
  const auto first =
      static_cast<std::size_t>(reader.integer_or("first_k_dense_replace", 0, hf_most_layers));
  const auto step = static_cast<std::size_t>(
      std::max<std::int64_t>(1, reader.integer_or("moe_layer_freq", 1, hf_most_layers)));
  const std::vector<std::string> listed = reader.texts("mlp_layer_types");
  std::vector<bool> sparse(layers);
  for (std::size_t i = 0; i < layers; ++i) {
    sparse[i] = i >= first && i % step == 0;
  }
  for (std::size_t i = 0; i < listed.size(); ++i) {
    if (listed[i] != "dense" && listed[i] != "sparse") {
      reader.fail("mlp_layer_types", "\"" + listed[i] + "\" is not one of: dense, sparse");
    }
    if (i < layers) {
      sparse[i] = listed[i] == "sparse";
    }
  }
  return sparse;
}

Json sparse_ffn(HfReader& reader, std::int64_t experts, std::string_view default_method) {
  // "greedy" (V2-Lite) looks at all experts; the others rank groups first. "noaux_tc" (V3) adds a
  // selection bias.
  const std::string method = reader.text_or("topk_method", default_method);
  const std::int64_t groups = reader.integer_or("n_group", 1, hf_largest);
  const std::int64_t top_groups = reader.integer_or("topk_group", 1, hf_largest);
  const bool limited = method != "greedy" && groups > 1;
  const std::int64_t inter = reader.integer("moe_intermediate_size", hf_largest);
  Json sparse = hf_moe(experts, inter,
                       {{"top_k", reader.integer("num_experts_per_tok", hf_largest)},
                        {"groups", limited ? groups : 1},
                        {"top_groups", limited ? top_groups : 1},
                        {"bias", method == "noaux_tc"}});
  const std::int64_t shared = reader.integer_or("n_shared_experts", 0, hf_largest);
  if (shared > 0) {
    sparse["shared"] = hf_shared(shared, inter);
  }
  return sparse;
}

Json read_deepseek(HfReader& reader, const Json& attention, std::string_view default_method) {
  const auto layers = static_cast<std::size_t>(hf_layer_count(reader));
  const Json dense = hf_dense(reader.integer("intermediate_size", hf_largest));
  const std::int64_t experts = reader.integer_or("n_routed_experts", 0, hf_largest);
  const std::int64_t modules = reader.integer_or("num_nextn_predict_layers", 0, 64);
  if (experts == 0) {
    return hf_document(reader, false,
                       hf_layers(std::vector<bool>(layers), attention, dense, dense));
  }
  const Json sparse = sparse_ffn(reader, experts, default_method);
  Json document = hf_document(reader, false,
                              hf_layers(sparse_layers(reader, layers), attention, dense, sparse));
  hf_mtp(document, modules, hf_layer(attention, sparse));
  return document;
}

}  // namespace

// DeepSeekMoE-16B: multi-head attention, softmax router without bias.
Json read_deepseek_v1(HfReader& reader) {
  Json attention = hf_gqa(reader, 0);
  hf_attention_bias(reader, attention, true);
  return read_deepseek(reader, attention, "greedy");
}

Json read_deepseek_v2(HfReader& reader) { return read_deepseek(reader, hf_mla(reader), "greedy"); }
Json read_deepseek_v3(HfReader& reader) {
  return read_deepseek(reader, hf_mla(reader), "noaux_tc");
}

Json read_deepseek_sparse(HfReader& reader) {
  Json attention = hf_mla(reader);
  attention["indexer"] = {{"heads", reader.integer("index_n_heads", hf_largest)},
                          {"head_dim", reader.integer("index_head_dim", hf_largest)},
                          {"top_k", reader.integer("index_topk", hf_largest)}};
  for (const std::string& type : reader.texts("indexer_types")) {
    if (type != "full") {
      reader.fail("indexer_types", "\"" + type +
                                       "\": layers that share another layer's choice are not "
                                       "modelled; every layer must have an indexer (\"full\")");
    }
  }
  return read_deepseek(reader, attention, "noaux_tc");
}

// A published layer is two blocks; the MoE takes the first one's FFN norm and is added behind the
// second (2509.01322, section 2.2).
Json read_longcat(HfReader& reader) {
  const Json attention = hf_mla(reader);
  const Json dense = hf_dense(reader.integer("ffn_hidden_size", hf_largest));
  Json sparse = hf_moe(reader.integer("n_routed_experts", hf_largest),
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
  reader.ignore(
      {"router_bias", "num_hidden_layers"});  // the latter counts blocks where it is given
  HfLayers layers;
  for (std::int64_t i = reader.integer("num_layers", hf_most_layers / 2); i > 0; --i) {
    layers.push_back({{"attention", attention}, {"ffn", Json::array({sparse, dense})}});
    layers.push_back(hf_layer(attention, dense));
  }
  return hf_document(reader, false, std::move(layers));
}

// DeepSeek-V4: shared key and value vectors, a window in every layer, pooled entries behind it in
// most (compress_ratios), hyper-connections; the first routers look experts up by token.
Json read_deepseek_v4(HfReader& reader) {
  const auto layers = static_cast<std::size_t>(hf_layer_count(reader));
  const Json base = {{"kind", "compressed"},
                     {"heads", reader.integer("num_attention_heads", hf_largest)},
                     {"head_dim", reader.integer("head_dim", hf_largest)},
                     {"rope_dim", reader.integer("qk_rope_head_dim", hf_largest)},
                     {"q_rank", reader.integer("q_lora_rank", hf_largest)},
                     {"window", reader.integer("sliding_window", hf_largest)},
                     {"o_groups", reader.integer("o_groups", hf_largest)},
                     {"o_rank", reader.integer("o_lora_rank", hf_largest)},
                     {"sinks", true}};
  if (reader.documented("num_key_value_heads", 1, hf_largest) != 1) {
    reader.fail("num_key_value_heads", "one vector serves all heads; must be 1");
  }
  const Json indexer = {{"heads", reader.integer("index_n_heads", hf_largest)},
                        {"head_dim", reader.integer("index_head_dim", hf_largest)},
                        {"top_k", reader.integer("index_topk", hf_largest)}};
  const std::vector<std::int64_t> ratios = reader.integers("compress_ratios", hf_largest);
  if (ratios.size() < layers) {
    reader.fail("compress_ratios",
                "one number per layer is needed: 0 (window alone), 4 (pooled, "
                "chosen by an indexer), 128 (pooled)");
  }
  const auto attention_of = [&](std::size_t layer) {
    const std::int64_t ratio = layer < ratios.size() ? ratios[layer] : 0;
    if (ratio != 0 && ratio != 4 && ratio != 128) {
      reader.fail("compress_ratios", std::to_string(ratio) + " is not one of: 0, 4, 128");
    }
    Json attention = base;
    attention["compress"] = ratio;
    if (ratio == 4) {
      attention["indexer"] = indexer;
    }
    return attention;
  };
  const std::int64_t inter = reader.integer("moe_intermediate_size", hf_largest);
  Json sparse = hf_moe(reader.integer("n_routed_experts", hf_largest), inter,
                       {{"top_k", reader.integer("num_experts_per_tok", hf_largest)},
                        {"bias", reader.text_or("topk_method", "noaux_tc") == "noaux_tc"}});
  const std::int64_t shared = reader.integer_or("n_shared_experts", 1, hf_largest);
  if (shared > 0) {
    sparse["shared"] = hf_shared(shared, inter);
  }
  Json hashed = sparse;
  hashed["router"]["bias"] = false;
  const auto hash_layers = static_cast<std::size_t>(
      reader.has("num_hash_layers") ? reader.integer_or("num_hash_layers", 0, hf_most_layers)
                                    : reader.documented("num_hash_layers", 3, hf_most_layers));
  HfLayers list;
  for (std::size_t i = 0; i < layers; ++i) {
    list.push_back(hf_layer(attention_of(i), i < hash_layers ? hashed : sparse));
  }
  Json document = hf_document(reader, false, std::move(list));
  document["residual_streams"] = reader.documented("hc_mult", 4, 64);
  hf_mtp(document, reader.integer_or("num_nextn_predict_layers", 0, 64),
         hf_layer(attention_of(layers), sparse));
  return document;
}

}  // namespace moesim::detail
