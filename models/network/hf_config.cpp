#include "models/network/hf_config.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "models/network/hf_config_internal.h"
#include "sim/core/error.h"

namespace moesim {

using Json = nlohmann::json;

namespace detail {
namespace {

// Words in a key that make it a shape.
constexpr auto shape_words = std::to_array<std::string_view>(
    {"num_",  "size",  "dim",    "rank",   "layer",  "expert", "head",
     "inter", "group", "topk",   "top_k",  "bias",   "hidden", "tie_",
     "width", "depth", "latent", "window", "sparse", "share",  "block"});

// Keys with such words that change neither parameters nor work of a forward pass.
constexpr auto harmless_keys = std::to_array<std::string_view>({
    "chunk_size_feed_forward",
    "cross_attention_hidden_size",
    "encoder_no_repeat_ngram_size",
    "ep_size",
    "expert_capacity",
    "hidden_act",
    "hidden_dropout",
    "hidden_dropout_prob",
    "layer_norm_eps",
    "layer_norm_epsilon",
    "max_window_layers",
    "no_repeat_ngram_size",
    "norm_topk_prob",
    "num_beam_groups",
    "num_beams",
    "num_nextn_predict_layers",
    "num_return_sequences",
    "output_hidden_states",
    "pruned_heads",
    "qk_head_dim",
    "relative_attention_num_buckets",
    "tie_encoder_decoder",
    "top_k",
});

bool is_shape(std::string_view key) {
  return std::ranges::any_of(shape_words, [key](std::string_view word) {
    return key.find(word) != std::string_view::npos;
  });
}

}  // namespace

HfReader::HfReader(const Json& config, std::string where) : object_(config, std::move(where)) {}

bool HfReader::has(std::string_view key) {
  read_.emplace(key);
  const auto found = object_.json().find(key);
  return found != object_.json().end() && !found->is_null();
}

std::int64_t HfReader::integer(std::string_view key, std::int64_t max) {
  read_.emplace(key);
  return object_.integer(key, 1, max);
}

std::int64_t HfReader::integer_or(std::string_view key, std::int64_t default_value,
                                  std::int64_t max) {
  return has(key) ? object_.integer(key, 0, max) : default_value;
}

bool HfReader::boolean_or(std::string_view key, bool default_value) {
  return has(key) ? object_.boolean_or(key, default_value) : default_value;
}

std::string HfReader::text_or(std::string_view key, std::string_view default_value) {
  return has(key) ? object_.text(key) : std::string(default_value);
}

std::vector<std::int64_t> HfReader::integers(std::string_view key, std::int64_t max) {
  return has(key) ? object_.integers(key, 0, max) : std::vector<std::int64_t>{};
}

void HfReader::ignore(std::string_view key) { read_.emplace(key); }

void HfReader::fail(std::string_view key, std::string_view what_is_wrong) const {
  object_.fail(key, what_is_wrong);
}

void HfReader::reject_unknown_shapes() const {
  for (const std::string& key : object_.keys()) {
    const Json& value = object_.json()[key];
    if (read_.contains(key) || value.is_null() || !is_shape(key) ||
        std::ranges::find(harmless_keys, key) != harmless_keys.end()) {
      continue;
    }
    object_.fail(key,
                 "looks like a shape that the reader of this architecture does not know; if it "
                 "changes nothing, remove it, else write the model in our own schema");
  }
}

Json hf_dense(std::int64_t inter) { return {{"kind", "dense"}, {"inter", inter}}; }

Json hf_blocks(const std::vector<bool>& moe, const Json& attention, const Json& dense,
               const Json& sparse) {
  Json blocks = Json::array();
  for (std::size_t i = 0; i < moe.size();) {
    std::size_t end = i;
    while (end < moe.size() && moe[end] == moe[i]) {
      ++end;
    }
    blocks.push_back({{"repeat", end - i},
                      {"attention", attention},
                      {"ffn", Json::array({moe[i] ? sparse : dense})}});
    i = end;
  }
  return blocks;
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
  reader.ignore("num_key_value_heads");
  reader.ignore("head_dim");
  const bool bias = reader.boolean_or("attention_bias", false);
  attention["qkv_bias"] = bias;
  attention["output_bias"] = bias;
  return attention;
}

Json hf_gqa(HfReader& reader) {
  const std::int64_t heads = reader.integer("num_attention_heads", hf_largest);
  const std::int64_t kv_heads = reader.integer_or("num_key_value_heads", heads, hf_largest);
  const std::int64_t hidden = reader.integer("hidden_size", hf_largest);
  std::int64_t head_dim = reader.integer_or("head_dim", 0, hf_largest);
  if (head_dim == 0) {
    if (hidden % heads != 0) {
      reader.fail("num_attention_heads", std::to_string(heads) + " does not divide hidden_size " +
                                             std::to_string(hidden) + ", and head_dim is missing");
    }
    head_dim = hidden / heads;
  }
  // Qwen files carry a window beside the switch that turns it off; Mistral's have no switch.
  const bool window = reader.integer_or("sliding_window", 0, hf_largest) > 0;
  if (reader.boolean_or("use_sliding_window", window)) {
    reader.fail(window ? "sliding_window" : "use_sliding_window",
                "sliding windows are not modelled; only models without are read");
  }
  return {{"kind", kv_heads == heads ? "mha" : "gqa"},
          {"heads", heads},
          {"kv_heads", kv_heads},
          {"head_dim", head_dim}};
}

Json hf_document(HfReader& reader, bool tied_by_default, Json blocks) {
  return {{"schema", 1},
          {"vocabulary", reader.integer("vocab_size", hf_largest)},
          {"hidden", reader.integer("hidden_size", hf_largest)},
          {"tied_embeddings", reader.boolean_or("tie_word_embeddings", tied_by_default)},
          {"blocks", std::move(blocks)}};
}

}  // namespace detail

namespace {

struct Architecture {
  std::string_view model_type;
  std::string_view class_name;
  Json (*read)(detail::HfReader&);
};

constexpr std::array<Architecture, 13> architectures{{
    {"deepseek_v2", "DeepseekV2ForCausalLM", detail::read_deepseek_v2},
    {"deepseek_v3", "DeepseekV3ForCausalLM", detail::read_deepseek_v3},
    {"llama", "LlamaForCausalLM", detail::read_llama},
    {"longcat_flash", "LongcatFlashForCausalLM", detail::read_longcat},
    {"mistral", "MistralForCausalLM", detail::read_llama},
    {"mixtral", "MixtralForCausalLM", detail::read_mixtral},
    {"olmoe", "OlmoeForCausalLM", detail::read_olmoe},
    {"PanguProMoE", "PanguProMoEForCausalLM", detail::read_pangu},
    {"qwen2", "Qwen2ForCausalLM", detail::read_qwen2},
    {"qwen2_moe", "Qwen2MoeForCausalLM", detail::read_qwen2_moe},
    {"qwen3", "Qwen3ForCausalLM", detail::read_qwen3},
    {"qwen3_moe", "Qwen3MoeForCausalLM", detail::read_qwen3_moe},
    {"switch_transformers", "SwitchTransformersForConditionalGeneration", detail::read_switch},
}};

const Architecture& find_architecture(const Json& config, const std::string& where) {
  const auto type = config.find("model_type");
  if (type != config.end() && type->is_string()) {
    const auto found = std::ranges::find(architectures, type->get_ref<const std::string&>(),
                                         &Architecture::model_type);
    if (found != architectures.end()) {
      return *found;
    }
    throw ConfigError(where + "/model_type", "\"" + type->get<std::string>() +
                                                 "\" is not one of: " + joined(hf_model_types()));
  }
  const auto classes = config.find("architectures");
  if (classes != config.end() && classes->is_array() && !classes->empty() &&
      classes->front().is_string()) {
    const auto found = std::ranges::find(
        architectures, classes->front().get_ref<const std::string&>(), &Architecture::class_name);
    if (found != architectures.end()) {
      return *found;
    }
  }
  throw ConfigError(where + "/model_type",
                    "is missing; one of: " + joined(hf_model_types()) + " is needed");
}

// Newer files list each layer's kind of attention.
void check_layer_types(detail::HfReader& reader, const Json& config) {
  reader.ignore("layer_types");
  const auto types = config.find("layer_types");
  if (types == config.end() || types->is_null()) {
    return;
  }
  const bool plain = types->is_array() && std::ranges::all_of(*types, [](const Json& type) {
                       return type == "full_attention";
                     });
  if (!plain) {
    reader.fail("layer_types", "only \"full_attention\" is read; write other models in our schema");
  }
}

}  // namespace

bool is_hf_config(const Json& document) {
  return document.is_object() &&
         (document.contains("model_type") || document.contains("architectures"));
}

std::vector<std::string_view> hf_model_types() {
  std::vector<std::string_view> names;
  for (const Architecture& architecture : architectures) {
    names.push_back(architecture.model_type);
  }
  return names;
}

Json model_of_hf_config(const Json& config, const std::string& where) {
  const Architecture& architecture = find_architecture(config, where);
  detail::HfReader reader(config, where);
  Json document = architecture.read(reader);
  check_layer_types(reader, config);
  reader.reject_unknown_shapes();
  document["name"] = architecture.model_type;
  return document;
}

}  // namespace moesim
