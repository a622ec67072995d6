// Windows in most layers: Gemma 2 to 4, MiMo-V2-Flash, Step-3.5.
#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "models/network/hf_reader.h"

namespace moesim::detail {
namespace {

using Json = nlohmann::json;

std::string_view every_second(std::int64_t layer) {
  return layer % 2 == 0 ? "sliding_attention" : "full_attention";
}
std::string_view every_sixth(std::int64_t layer) {
  return (layer + 1) % 6 != 0 ? "sliding_attention" : "full_attention";
}

// Gemma norms before and behind attention and FFN.
Json gemma(HfReader& reader, Json attention, std::int64_t window,
           std::string_view (*otherwise)(std::int64_t), std::int64_t vocabulary_default = 0) {
  hf_attention_bias(reader, attention, true);
  const Json dense = hf_dense(reader.integer("intermediate_size", hf_largest));
  HfLayers list;
  for (const std::string& type : hf_layer_types(
           reader, hf_layer_count(reader), {"sliding_attention", "full_attention"}, otherwise)) {
    list.push_back(hf_layer(hf_windowed(attention, type, window), dense));
    list.back()["extra_norms"] = 2;
  }
  return hf_document(reader, true, std::move(list), vocabulary_default);
}

// A list of layers as text, "3,4,5".
std::vector<std::int64_t> numbers_of(HfReader& reader, std::string_view key) {
  const Json* value = reader.raw(key);
  if (value == nullptr || !value->is_string()) {
    return reader.integers(key, hf_most_layers);
  }
  std::vector<std::int64_t> numbers;
  const auto& text = value->get_ref<const std::string&>();
  const char* at = text.data();
  const char* end = at + text.size();
  while (at < end) {
    std::int64_t number = 0;
    const auto [stop, error] = std::from_chars(at, end, number);
    if (error != std::errc{} || number < 0 || number > hf_most_layers ||
        (stop != end && *stop != ',')) {
      reader.fail(key, "numbers of layers, separated by commas, are needed");
    }
    numbers.push_back(number);
    at = stop == end ? end : stop + 1;
  }
  return numbers;
}

}  // namespace

Json read_gemma2(HfReader& reader) {
  return gemma(reader, hf_gqa(reader, 4, 256),
               reader.documented("sliding_window", 4096, hf_largest), every_second);
}

Json read_gemma3(HfReader& reader) {
  Json attention = hf_gqa(reader, 4, 256, 8);
  attention["qk_norm"] = "head";
  reader.ignore({"sliding_window_pattern"});
  return gemma(reader, std::move(attention), reader.documented("sliding_window", 4096, hf_largest),
               every_sixth, 262208);
}

// Full-attention layers have wider and fewer key heads, whose keys may serve as values; experts
// stand beside a dense FFN, each with norms of its own.
Json read_gemma4(HfReader& reader) {
  const std::int64_t per_layer =
      reader.has("hidden_size_per_layer_input")
          ? reader.integer_or("hidden_size_per_layer_input", 0, hf_largest)
          : 256;
  if (per_layer > 0) {
    reader.fail("hidden_size_per_layer_input",
                "embeddings of every layer are not in the schema; 0 is read");
  }
  reader.ignore({"vocab_size_per_layer_input"});
  if (reader.integer_or("num_kv_shared_layers", 0, hf_most_layers) > 0) {
    reader.fail("num_kv_shared_layers", "0 is read");
  }
  Json near = hf_gqa(reader, 4, 256);
  near["qk_norm"] = "head";
  hf_attention_bias(reader, near, true);
  Json far = near;
  far["head_dim"] = reader.documented("global_head_dim", 512, hf_largest);
  far["keys_are_values"] = reader.boolean_or("attention_k_eq_v", false);
  const std::int64_t global_heads = reader.integer_or("num_global_key_value_heads", 0, hf_largest);
  if (global_heads > 0 && far["keys_are_values"] == true) {
    far["kv_heads"] = global_heads;
    far["kind"] = far["heads"] == far["kv_heads"] ? "mha" : "gqa";
  }
  Json entries = Json::array({hf_dense(reader.integer("intermediate_size", hf_largest))});
  const bool moe = reader.boolean_or("enable_moe_block", false);
  if (moe) {
    entries.push_back(
        hf_moe(reader.integer("num_experts", hf_largest),
               reader.integer("moe_intermediate_size", hf_largest),
               {{"top_k", reader.integer({"top_k_experts", "num_experts_per_tok"}, hf_largest)},
                {"bias", true}}));
  }
  const std::int64_t window = reader.documented("sliding_window", 512, hf_largest);
  const std::int64_t layers = hf_layer_count(reader);
  std::vector<std::string> types =
      hf_layer_types(reader, layers, {"sliding_attention", "full_attention"}, every_sixth);
  types.back() = "full_attention";
  HfLayers list;
  for (const std::string& type : types) {
    const Json attention =
        type == "full_attention" ? far : hf_windowed(near, "sliding_attention", window);
    // With experts: norms before and behind them and behind the dense FFN, and the router's scale.
    list.push_back({{"attention", attention}, {"ffn", entries}, {"extra_norms", moe ? 6 : 2}});
  }
  reader.ignore({"moe_intermediate_size", "num_experts", "top_k_experts"});
  return hf_document(reader, true, std::move(list));
}

// Layers with a window have more key heads, and sinks; values are narrower than keys.
Json read_mimo_v2(HfReader& reader) {
  Json full = hf_gqa(reader, 4, 192);
  full["value_dim"] = reader.documented("v_head_dim", 128, hf_largest);
  const bool bias = reader.boolean_or("attention_bias", false);
  full["qkv_bias"] = bias;
  full["sinks"] = reader.boolean_or("add_full_attention_sink_bias", false);
  Json near = full;
  near["heads"] =
      reader.integer_or("swa_num_attention_heads", full["heads"].get<std::int64_t>(), hf_largest);
  near["kv_heads"] = reader.has("swa_num_key_value_heads")
                         ? reader.integer("swa_num_key_value_heads", hf_largest)
                         : 2 * full["kv_heads"].get<std::int64_t>();
  near["head_dim"] =
      reader.integer_or("swa_head_dim", full["head_dim"].get<std::int64_t>(), hf_largest);
  near["value_dim"] =
      reader.integer_or("swa_v_head_dim", full["value_dim"].get<std::int64_t>(), hf_largest);
  near["kind"] = near["heads"] == near["kv_heads"] ? "mha" : "gqa";
  near["sinks"] = reader.boolean_or("add_swa_attention_sink_bias", true);
  near["window"] = reader.integer({"sliding_window", "sliding_window_size"}, hf_largest);
  reader.ignore({"sliding_window_size", "attention_chunk_size"});
  const std::int64_t inter = reader.integer("moe_intermediate_size", hf_largest);
  Json sparse = hf_grouped_moe(reader, inter);
  const std::int64_t shared = reader.integer_or("n_shared_experts", 0, hf_largest);
  if (shared > 0) {
    sparse["shared"] = hf_shared(shared, inter);
  }
  const Json dense = hf_dense(reader.integer("intermediate_size", hf_largest));
  const std::int64_t layers = hf_layer_count(reader);
  const std::vector<std::int64_t> pattern = reader.integers("hybrid_layer_pattern", 1);
  const std::vector<std::string> types =
      hf_layer_types(reader, layers, {"sliding_attention", "full_attention"}, [](std::int64_t i) {
        return i == 0 || (i + 1) % 6 == 0 ? std::string_view("full_attention")
                                          : std::string_view("sliding_attention");
      });
  const std::vector<std::int64_t> freq = reader.integers("moe_layer_freq", 1);
  const std::vector<std::string> ffns = reader.texts("mlp_layer_types");
  HfLayers list;
  for (std::size_t i = 0; i < static_cast<std::size_t>(layers); ++i) {
    const bool slides = i < pattern.size() ? pattern[i] == 1 : types[i] == "sliding_attention";
    bool moe = i > 0;
    if (i < freq.size()) {
      moe = freq[i] == 1;
    } else if (i < ffns.size()) {
      moe = ffns[i] == "sparse";
    }
    list.push_back(hf_layer(slides ? near : full, moe ? sparse : dense));
  }
  return hf_document(reader, false, std::move(list));
}

Json read_step(HfReader& reader) {
  const auto attention_of = [](HfReader& keys, std::int64_t heads, std::int64_t groups,
                               std::int64_t head_dim) {
    if (heads % groups != 0) {
      keys.fail("num_attention_groups",
                std::to_string(groups) + " does not divide " + std::to_string(heads));
    }
    return Json{{"kind", heads == groups ? "mha" : "gqa"},
                {"heads", heads},
                {"kv_heads", groups},
                {"head_dim", head_dim},
                {"qk_norm", "head"}};
  };
  const std::int64_t head_dim = reader.integer("head_dim", hf_largest);
  Json full = attention_of(reader, reader.integer("num_attention_heads", hf_largest),
                           reader.integer("num_attention_groups", hf_largest), head_dim);
  full["head_gate"] = reader.boolean_or("use_head_wise_attn_gate", false);
  Json near = full;
  if (reader.has("attention_other_setting")) {
    HfReader other = reader.object("attention_other_setting");
    near = attention_of(other, other.integer("num_attention_heads", hf_largest),
                        other.integer("num_attention_groups", hf_largest),
                        other.integer("head_dim", hf_largest));
    near["head_gate"] = full["head_gate"];
  }
  const std::int64_t layers = hf_layer_count(reader);
  const std::vector<std::string> types =
      hf_layer_types(reader, layers, {"sliding_attention", "full_attention"},
                     [](std::int64_t) { return std::string_view("full_attention"); });
  const std::int64_t window = reader.integer_or("sliding_window", 0, hf_largest);
  Json sparse = hf_moe(reader.integer("moe_num_experts", hf_largest),
                       reader.integer("moe_intermediate_size", hf_largest),
                       {{"top_k", reader.integer("moe_top_k", hf_largest)},
                        {"bias", reader.boolean_or("use_moe_router_bias", false)}});
  const std::string_view width =
      reader.has("share_expert_dim") ? "share_expert_dim" : "share_expert_dims";
  const std::int64_t shared = reader.integer_or(width, 0, hf_largest);
  if (shared > 0) {
    sparse["shared"] = hf_shared(1, shared);
  }
  const Json dense = hf_dense(reader.integer("intermediate_size", hf_largest));
  std::vector<bool> moe(static_cast<std::size_t>(layers));
  for (const std::int64_t i : numbers_of(reader, "moe_layers_enum")) {
    if (i < layers) {
      moe[static_cast<std::size_t>(i)] = true;
    }
  }
  HfLayers list;
  for (std::size_t i = 0; i < moe.size(); ++i) {
    list.push_back(hf_layer(
        types[i] == "full_attention" ? full : hf_windowed(near, "sliding_attention", window),
        moe[i] ? sparse : dense));
  }
  reader.ignore({"swiglu_limits_shared"});
  Json document = hf_document(reader, false, std::move(list));
  hf_mtp(document, reader.integer_or("num_nextn_predict_layers", 0, 64),
         hf_layer(hf_windowed(near, "sliding_attention", window), dense));
  return document;
}

}  // namespace moesim::detail
