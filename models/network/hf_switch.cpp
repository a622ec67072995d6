// Switch Transformers: encoder and decoder.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "models/network/hf_reader.h"

namespace moesim::detail {
namespace {

using Json = nlohmann::json;

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
  reader.ignore({"encoder_sparse_step", "decoder_sparse_step", "num_hidden_layers",
                 "num_attention_heads", "hidden_size"});
  HfLayers layers;
  for (Json& entry :
       hf_layers(switch_pattern(encoder_layers, sparse_encoder), attention, dense, sparse)) {
    entry["stack"] = "encoder";
    layers.push_back(std::move(entry));
  }
  for (Json& entry :
       hf_layers(switch_pattern(decoder_layers, sparse_decoder), attention, dense, sparse)) {
    entry["cross_attention"] = attention;
    layers.push_back(std::move(entry));
  }
  return {{"schema", 1},
          {"vocabulary", reader.integer("vocab_size", hf_largest)},
          {"hidden", reader.integer("d_model", hf_largest)},
          {"tied_embeddings", reader.boolean_or("tie_word_embeddings", true)},
          {"blocks", std::move(layers)}};
}

}  // namespace moesim::detail
