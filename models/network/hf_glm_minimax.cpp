// Grouped-query attention before routed experts: GLM-4.5 to 4.7, MiniMax-M2, gpt-oss, ERNIE-4.5.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "models/network/hf_reader.h"

namespace moesim::detail {
namespace {

using Json = nlohmann::json;

std::string_view alternating(std::int64_t layer) {
  return layer % 2 == 0 ? "sliding_attention" : "full_attention";
}

}  // namespace

Json read_glm_moe(HfReader& reader) {
  Json attention = hf_gqa(reader, 8);
  hf_attention_bias(reader, attention, false);
  attention["qk_norm"] = reader.boolean_or("use_qk_norm", false) ? "head" : "none";
  const std::int64_t inter = reader.integer("moe_intermediate_size", hf_largest);
  Json sparse = hf_grouped_moe(reader, inter);
  const std::int64_t shared = reader.has("n_shared_experts")
                                  ? reader.integer_or("n_shared_experts", 0, hf_largest)
                                  : reader.documented("n_shared_experts", 1, hf_largest);
  if (shared > 0) {
    sparse["shared"] = hf_shared(shared, inter);
  }
  const std::int64_t first = reader.has("first_k_dense_replace")
                                 ? reader.integer_or("first_k_dense_replace", 0, hf_most_layers)
                                 : reader.documented("first_k_dense_replace", 1, hf_most_layers);
  std::vector<bool> moe(static_cast<std::size_t>(hf_layer_count(reader)));
  for (std::size_t i = 0; i < moe.size(); ++i) {
    moe[i] = static_cast<std::int64_t>(i) >= first;
  }
  const Json dense = hf_dense(reader.integer("intermediate_size", hf_largest));
  Json document = hf_document(reader, false, hf_layers(moe, attention, dense, sparse));
  hf_mtp(document, reader.integer_or("num_nextn_predict_layers", 0, 64),
         hf_layer(attention, sparse));
  return document;
}

// The norms of queries and keys span all heads. Its prediction modules are not among the weights.
Json read_minimax_m2(HfReader& reader) {
  Json attention = hf_gqa(reader, 8, 128);
  attention["qk_norm"] = reader.boolean_or("use_qk_norm", true) ? "full" : "none";
  if (reader.text_or("qk_norm_type", "per_layer") != "per_layer") {
    reader.fail("qk_norm_type", "only \"per_layer\" is read");
  }
  for (const std::int64_t type : reader.integers("attn_type_list", 16)) {
    if (type != 1) {
      reader.fail("attn_type_list", "only 1 (softmax attention) is read");
    }
  }
  const Json sparse = hf_moe(reader.integer("num_local_experts", hf_largest),
                             reader.integer("intermediate_size", hf_largest),
                             {{"top_k", reader.integer("num_experts_per_tok", hf_largest)},
                              {"bias", reader.boolean_or("use_routing_bias", true)}});
  if (reader.integer_or("num_mtp_modules", 0, hf_largest) > 0) {
    reader.note("num_mtp_modules: the prediction modules are no part of the published weights");
  }
  reader.ignore({"mtp_transformer_layers"});
  return hf_document(
      reader, false,
      HfLayers(static_cast<std::size_t>(hf_layer_count(reader)), hf_layer(attention, sparse)));
}

// Every other layer has a window; a sink per head; experts and router have biases.
Json read_gpt_oss(HfReader& reader) {
  Json attention = hf_gqa(reader, 8, 64);
  hf_attention_bias(reader, attention, true, true);
  attention["sinks"] = true;
  const std::int64_t layers = hf_layer_count(reader);
  const std::int64_t window = reader.documented("sliding_window", 128, hf_largest);
  Json sparse =
      hf_moe(reader.integer("num_local_experts", hf_largest),
             reader.integer("intermediate_size", hf_largest),
             {{"top_k", reader.integer({"num_experts_per_tok", "experts_per_token"}, hf_largest)},
              {"bias", true}});
  reader.ignore({"experts_per_token"});
  sparse["experts"][0]["bias"] = true;
  HfLayers list;
  for (const std::string& type :
       hf_layer_types(reader, layers, {"sliding_attention", "full_attention"}, alternating)) {
    list.push_back(hf_layer(hf_windowed(attention, type, window), sparse));
  }
  return hf_document(reader, false, std::move(list));
}

Json read_ernie(HfReader& reader) {
  Json attention = hf_gqa(reader, 4);
  const bool bias = reader.boolean_or("use_bias", false);
  attention["qkv_bias"] = bias;
  attention["output_bias"] = bias;
  if (bias) {
    reader.fail("use_bias", "biases of experts are not read here; only false is");
  }
  const std::int64_t inter = reader.integer("moe_intermediate_size", hf_largest);
  Json sparse = hf_moe(reader.integer({"moe_num_experts", "num_experts"}, hf_largest), inter,
                       {{"top_k", reader.integer({"moe_k", "num_experts_per_tok"}, hf_largest)},
                        {"bias", reader.boolean_or("moe_use_aux_free", true)}});
  const std::int64_t shared = reader.has("moe_num_shared_experts")
                                  ? reader.integer_or("moe_num_shared_experts", 0, hf_largest)
                                  : reader.documented("moe_num_shared_experts", 2, hf_largest);
  if (shared > 0) {
    sparse["shared"] = hf_shared(shared, inter);
  }
  std::vector<bool> moe(static_cast<std::size_t>(hf_layer_count(reader)));
  const auto count = static_cast<std::int64_t>(moe.size());
  const std::int64_t first = reader.has("moe_layer_start_index")
                                 ? reader.integer_or("moe_layer_start_index", 0, hf_most_layers)
                                 : reader.documented("moe_layer_start_index", 1, hf_most_layers);
  std::int64_t last = count - 1;
  if (const Json* end = reader.raw("moe_layer_end_index"); end != nullptr && *end != Json(-1)) {
    last = reader.integer_or("moe_layer_end_index", last, hf_most_layers);
  }
  const std::int64_t interval =
      std::max<std::int64_t>(1, reader.integer_or("moe_layer_interval", 1, hf_most_layers));
  for (std::int64_t i = 0; i < count; ++i) {
    moe[static_cast<std::size_t>(i)] = (i + 1) % interval == 0 && i >= first && i <= last;
  }
  reader.ignore({"moe_group", "num_nextn_predict_layers"});
  return hf_document(
      reader, true,
      hf_layers(moe, attention, hf_dense(reader.integer("intermediate_size", hf_largest)), sparse));
}

}  // namespace moesim::detail
