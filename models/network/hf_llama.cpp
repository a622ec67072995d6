// Llama 2 to 4, Mistral, Mixtral, and Nemotron-NAS, whose blocks were pruned one by one.
#include <cmath>
#include <nlohmann/json.hpp>

#include "models/network/hf_reader.h"

namespace moesim::detail {
namespace {

using Json = nlohmann::json;

Json uniform(HfReader& reader, const Json& attention, const Json& ffn, bool tied = false) {
  return hf_document(
      reader, tied,
      HfLayers(static_cast<std::size_t>(hf_layer_count(reader)), hf_layer(attention, ffn)));
}

// A window of all layers, if there is one.
void add_window(HfReader& reader, Json& attention, std::int64_t default_window) {
  const std::int64_t window = reader.integer_or("sliding_window", default_window, hf_largest);
  if (window > 0) {
    attention["window"] = window;
  }
}

}  // namespace

Json read_llama(HfReader& reader) {
  Json attention = hf_gqa(reader, 0);
  hf_attention_bias(reader, attention, true);
  Json ffn = hf_dense(reader.integer("intermediate_size", hf_largest));
  ffn["bias"] = reader.boolean_or("mlp_bias", false);
  return uniform(reader, attention, ffn);
}

Json read_mistral(HfReader& reader) {
  Json attention = hf_gqa(reader, 8);
  add_window(reader, attention, 0);
  return uniform(reader, attention, hf_dense(reader.integer("intermediate_size", hf_largest)));
}

Json read_mixtral(HfReader& reader) {
  Json attention = hf_gqa(reader, 8);
  add_window(reader, attention, 0);
  const Json sparse = hf_moe(reader.integer("num_local_experts", hf_largest),
                             reader.integer("intermediate_size", hf_largest),
                             {{"top_k", reader.integer("num_experts_per_tok", hf_largest)}});
  return uniform(reader, attention, sparse);
}

// Top-1 experts beside one shared expert, in every interleave_moe_layer_step-th layer; three of
// four layers see their own chunk alone.
Json read_llama4(HfReader& reader) {
  Json attention = hf_gqa(reader, 8);
  hf_attention_bias(reader, attention, true);
  const std::int64_t layers = hf_layer_count(reader);
  const std::int64_t inter = reader.integer("intermediate_size", hf_largest);
  Json sparse = hf_moe(reader.integer("num_local_experts", hf_largest), inter,
                       {{"top_k", reader.documented("num_experts_per_tok", 1, hf_largest)}});
  sparse["shared"] = hf_shared(1, inter);
  const Json dense = hf_dense(reader.documented("intermediate_size_mlp", 16384, hf_largest));
  const std::int64_t step = reader.documented("interleave_moe_layer_step", 1, hf_most_layers);
  std::vector<bool> moe(static_cast<std::size_t>(layers));
  const std::vector<std::int64_t> listed = reader.integers("moe_layers", hf_most_layers);
  for (std::int64_t i = 0; i < layers; ++i) {
    moe[static_cast<std::size_t>(i)] = listed.empty() && (i + 1) % step == 0;
  }
  for (const std::int64_t i : listed) {
    if (i >= layers) {
      reader.fail("moe_layers", std::to_string(i) + " is no layer");
    }
    moe[static_cast<std::size_t>(i)] = true;
  }
  const std::int64_t chunk =
      reader.has("attention_chunk_size") ? reader.integer("attention_chunk_size", hf_largest) : 0;
  // Layers without rotary embedding see everything.
  const std::int64_t interval =
      std::max<std::int64_t>(1, reader.integer_or("no_rope_layer_interval", 4, hf_most_layers));
  const std::vector<std::int64_t> rope = reader.integers("no_rope_layers", 1);
  const std::vector<std::string> types = reader.texts("layer_types");
  HfLayers list = hf_layers(moe, attention, dense, sparse);
  for (std::size_t i = 0; i < list.size(); ++i) {
    bool chunked =
        i < rope.size() ? rope[i] == 1 : (static_cast<std::int64_t>(i) + 1) % interval != 0;
    if (i < types.size()) {
      if (types[i] != "chunked_attention" && types[i] != "full_attention") {
        reader.fail("layer_types", "\"" + types[i] +
                                       "\" is not one of: chunked_attention, "
                                       "full_attention");
      }
      chunked = types[i] == "chunked_attention";
    }
    list[i]["attention"] =
        hf_windowed(attention, chunked ? "chunked_attention" : "full_attention", chunk);
  }
  return hf_document(reader, false, std::move(list));
}

// Every block has its own grouping of heads and width, or leaves a part out.
Json read_nemotron_nas(HfReader& reader) {
  const std::int64_t heads = reader.integer("num_attention_heads", hf_largest);
  const std::int64_t hidden = reader.integer("hidden_size", hf_largest);
  if (hidden % heads != 0) {
    reader.fail("num_attention_heads", std::to_string(heads) + " does not divide hidden_size");
  }
  reader.ignore({"num_key_value_heads", "intermediate_size"});  // block_configs has them
  const bool bias = reader.boolean_or("attention_bias", false);
  const bool mlp_bias = reader.boolean_or("mlp_bias", false);
  const Json* configs = reader.raw("block_configs");
  const auto layers = static_cast<std::size_t>(hf_layer_count(reader));
  if (configs == nullptr || !configs->is_array() || configs->size() != layers) {
    reader.fail("block_configs", "one object per layer is needed");
  }
  HfLayers list;
  for (std::size_t i = 0; i < layers; ++i) {
    const std::string where = reader.where("block_configs") + "/" + std::to_string(i);
    if (!(*configs)[i].is_object()) {
      reader.fail("block_configs", "element " + std::to_string(i) + " is no object");
    }
    HfReader block((*configs)[i], where);
    HfReader mixer = block.object("attention");
    HfReader ffn = block.object("ffn");
    for (HfReader* part : {&mixer, &ffn}) {
      if (part->boolean_or("replace_with_linear", false)) {
        part->fail("replace_with_linear", "a linear layer instead is not modelled");
      }
    }
    Json attention = {{"kind", "none"}};
    if (!mixer.boolean_or("no_op", false)) {
      const std::int64_t group = mixer.integer("n_heads_in_group", hf_largest);
      if (heads % group != 0) {
        mixer.fail("n_heads_in_group", "does not divide num_attention_heads");
      }
      attention = {{"kind", "gqa"},
                   {"heads", heads},
                   {"kv_heads", heads / group},
                   {"head_dim", hidden / heads},
                   {"qkv_bias", bias},
                   {"output_bias", bias}};
      const std::int64_t window = mixer.integer_or("window_length", 0, hf_largest);
      if (window > 0) {
        attention["window"] = window;
      }
    }
    Json entries = Json::array();
    if (!ffn.boolean_or("no_op", false)) {
      const Json* mult = ffn.raw("ffn_mult");
      if (mult == nullptr || !mult->is_number() || !(mult->get<double>() > 0) ||
          !(mult->get<double>() < 1024)) {
        ffn.fail("ffn_mult", "a number above 0 is needed");
      }
      // Two thirds of the multiple, rounded up to 256, as the vendor's code has it.
      const auto width =
          static_cast<std::int64_t>(2 * mult->get<double>() * static_cast<double>(hidden) / 3);
      Json dense = hf_dense((width + 255) / 256 * 256);
      dense["bias"] = mlp_bias;
      entries.push_back(std::move(dense));
    }
    if (entries.empty() && attention["kind"] == "none") {
      continue;
    }
    list.push_back({{"attention", attention}, {"ffn", entries}});
  }
  if (list.empty()) {
    reader.fail("block_configs", "no block does anything");
  }
  return hf_document(reader, false, std::move(list));
}

}  // namespace moesim::detail
