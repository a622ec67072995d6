// Which reader reads a config.json, and what stands around the language model in it.
#include "models/network/hf_config.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "models/network/hf_reader.h"
#include "sim/core/error.h"

namespace moesim {

using Json = nlohmann::json;

namespace {

struct Architecture {
  std::string_view model_type;
  std::string_view class_name;  // empty: of a part of a multimodal model
  Json (*read)(detail::HfReader&);
};

// Every architecture, in alphabetical order. Multimodal models' own types name the reader of their
// text_config, where that has no model_type.
constexpr auto architectures = std::to_array<Architecture>({
    {"dbrx", "DbrxForCausalLM", detail::read_dbrx},
    {"deepseek", "DeepseekForCausalLM", detail::read_deepseek_v1},
    {"deepseek_v2", "DeepseekV2ForCausalLM", detail::read_deepseek_v2},
    {"deepseek_v3", "DeepseekV3ForCausalLM", detail::read_deepseek_v3},
    {"deepseek_v32", "DeepseekV32ForCausalLM", detail::read_deepseek_sparse},
    {"deepseek_v4", "DeepseekV4ForCausalLM", detail::read_deepseek_v4},
    {"ernie4_5_moe", "Ernie4_5_MoeForCausalLM", detail::read_ernie},
    {"gemma2", "Gemma2ForCausalLM", detail::read_gemma2},
    {"gemma3", "Gemma3ForConditionalGeneration", detail::read_gemma3},
    {"gemma3_text", "Gemma3ForCausalLM", detail::read_gemma3},
    {"gemma4", "Gemma4ForConditionalGeneration", detail::read_gemma4},
    {"gemma4_text", "Gemma4ForCausalLM", detail::read_gemma4},
    {"glm4_moe", "Glm4MoeForCausalLM", detail::read_glm_moe},
    {"glm4_moe_lite", "Glm4MoeLiteForCausalLM", detail::read_deepseek_v3},
    {"glm4v_moe", "Glm4vMoeForConditionalGeneration", detail::read_glm_moe},
    {"glm4v_moe_text", "", detail::read_glm_moe},
    {"glm_moe_dsa", "GlmMoeDsaForCausalLM", detail::read_deepseek_sparse},
    {"gpt_oss", "GptOssForCausalLM", detail::read_gpt_oss},
    {"granitemoe", "GraniteMoeForCausalLM", detail::read_granite_moe},
    {"granitemoehybrid", "GraniteMoeHybridForCausalLM", detail::read_granite_hybrid},
    {"granitemoeshared", "GraniteMoeSharedForCausalLM", detail::read_granite_moe},
    {"jamba", "JambaForCausalLM", detail::read_jamba},
    {"kimi_k2", "KimiK2ForCausalLM", detail::read_deepseek_v3},
    {"kimi_k25", "KimiK25ForConditionalGeneration", detail::read_deepseek_v3},
    {"llama", "LlamaForCausalLM", detail::read_llama},
    {"llama4", "Llama4ForConditionalGeneration", detail::read_llama4},
    {"llama4_text", "Llama4ForCausalLM", detail::read_llama4},
    {"longcat_flash", "LongcatFlashForCausalLM", detail::read_longcat},
    {"mimo", "MiMoForCausalLM", detail::read_mimo},
    {"mimo_v2_flash", "MiMoV2FlashForCausalLM", detail::read_mimo_v2},
    {"minimax_m2", "MiniMaxM2ForCausalLM", detail::read_minimax_m2},
    {"mistral", "MistralForCausalLM", detail::read_mistral},
    {"mixtral", "MixtralForCausalLM", detail::read_mixtral},
    {"nemotron-nas", "DeciLMForCausalLM", detail::read_nemotron_nas},
    {"nemotron_h", "NemotronHForCausalLM", detail::read_nemotron_h},
    {"olmoe", "OlmoeForCausalLM", detail::read_olmoe},
    {"PanguProMoE", "PanguProMoEForCausalLM", detail::read_pangu},
    {"qwen2", "Qwen2ForCausalLM", detail::read_qwen2},
    {"qwen2_moe", "Qwen2MoeForCausalLM", detail::read_qwen2_moe},
    {"qwen3", "Qwen3ForCausalLM", detail::read_qwen3},
    {"qwen3_5", "Qwen3_5ForConditionalGeneration", detail::read_qwen3_next},
    {"qwen3_5_moe", "Qwen3_5MoeForConditionalGeneration", detail::read_qwen3_next},
    {"qwen3_5_moe_text", "Qwen3_5MoeForCausalLM", detail::read_qwen3_next},
    {"qwen3_5_text", "Qwen3_5ForCausalLM", detail::read_qwen3_next},
    {"qwen3_moe", "Qwen3MoeForCausalLM", detail::read_qwen3_moe},
    {"qwen3_next", "Qwen3NextForCausalLM", detail::read_qwen3_next},
    {"qwen3_vl", "Qwen3VLForConditionalGeneration", detail::read_qwen3},
    {"qwen3_vl_moe", "Qwen3VLMoeForConditionalGeneration", detail::read_qwen3_moe},
    {"qwen3_vl_moe_text", "", detail::read_qwen3_moe},
    {"qwen3_vl_text", "", detail::read_qwen3},
    {"step3p5", "Step3p5ForCausalLM", detail::read_step},
    {"switch_transformers", "SwitchTransformersForConditionalGeneration", detail::read_switch},
});

const Architecture* find_type(const Json& config) {
  const auto type = config.find("model_type");
  if (type == config.end() || !type->is_string()) {
    return nullptr;
  }
  const auto found = std::ranges::find(architectures, type->get_ref<const std::string&>(),
                                       &Architecture::model_type);
  return found == architectures.end() ? nullptr : &*found;
}

// The first of "architectures"; empty if there is none. Throws for what has no language model's
// head, or is a part of a model.
std::string class_of(const Json& config, const std::string& where) {
  const auto classes = config.find("architectures");
  if (classes == config.end() || classes->is_null()) {
    return "";
  }
  if (!classes->is_array() || classes->empty() || !classes->front().is_string()) {
    throw ConfigError(where + "/architectures", "a list of one class name is needed");
  }
  std::string name = classes->front().get<std::string>();
  const bool whole = name.ends_with("ForCausalLM") || name.ends_with("ForConditionalGeneration") ||
                     name.ends_with("LMHeadModel");
  if (!whole || name.find("NextN") != std::string::npos || name.find("MTP") != std::string::npos) {
    throw ConfigError(
        where + "/architectures",
        "\"" + name +
            "\" is no whole language model: its head, or what it is a part of, counts "
            "otherwise; classes ...ForCausalLM and ...ForConditionalGeneration are "
            "read");
  }
  return name;
}

const Architecture* find_class(const std::string& name) {
  const auto found = name.empty()
                         ? architectures.end()
                         : std::ranges::find(architectures, name, &Architecture::class_name);
  return found == architectures.end() ? nullptr : &*found;
}

const Architecture& find_architecture(const Json& config, const std::string& where) {
  const Architecture* by_type = find_type(config);
  const std::string class_name = class_of(config, where);
  const Architecture* by_class = find_class(class_name);
  if (by_type != nullptr && by_class != nullptr && by_type->read != by_class->read) {
    throw ConfigError(where + "/architectures", "\"" + class_name + "\" contradicts model_type \"" +
                                                    std::string(by_type->model_type) +
                                                    "\"; correct one of them");
  }
  if (by_type != nullptr || by_class != nullptr) {
    return by_type != nullptr ? *by_type : *by_class;
  }
  const auto type = config.find("model_type");
  throw ConfigError(where + "/model_type",
                    (type != config.end() && type->is_string()
                         ? "\"" + type->get<std::string>() + "\" is not one of: "
                         : "is missing; one of: ") +
                        joined(hf_model_types()) +
                        (type != config.end() && type->is_string() ? "" : " is needed"));
}

// The language model's part of a file, and where it stands.
struct Inner {
  Json config;
  std::string where;
  bool inside = false;
};

Inner language_model(const Json& file, const std::string& where) {
  for (const char* key : {"text_config", "llm_config", "language_config"}) {
    const auto found = file.find(key);
    if (found == file.end() || found->is_null()) {
      continue;
    }
    if (!found->is_object()) {
      throw ConfigError(where + "/" + key, "an object {...} is needed");
    }
    Inner inner{*found, where + "/" + key, true};
    // The model ties its embeddings, whatever its part would do alone.
    if (const auto tied = file.find("tie_word_embeddings"); tied != file.end()) {
      inner.config["tie_word_embeddings"] = *tied;
    }
    return inner;
  }
  return {file, where, false};
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
  Inner inner = language_model(config, where);
  // The part's own type says more than the whole's, where it is known.
  const Architecture* own = inner.inside ? find_type(inner.config) : nullptr;
  if (inner.inside) {
    static_cast<void>(class_of(config, where));
  }
  const Architecture& architecture = own != nullptr ? *own : find_architecture(config, where);
  detail::HfReader reader(inner.config, inner.where);
  Json document = architecture.read(reader);
  detail::hf_quantise(reader, config, where, document);
  if (document.contains("blocks")) {
    document["blocks"] = detail::hf_runs(document["blocks"].get<detail::HfLayers>());
  }
  if (inner.inside) {
    reader.note(
        "the language model of a multimodal file: encoders of images or sound and their "
        "projections are left out");
  }
  if (document.contains("mtp")) {
    reader.note("multi-token-prediction modules count where mtp_layers asks for them");
  }
  reader.ignore({"layer_types", "text_config"});
  reader.reject_unknown_shapes();
  document["name"] = architecture.model_type;
  document["notes"] = reader.notes();
  return document;
}

namespace {

// Length of a number that Python writes and JSON does not have at `at`; 0 if there is none.
std::size_t python_number(std::string_view text, std::size_t at) {
  for (const std::string_view word : {"NaN", "Infinity", "-Infinity"}) {
    if (text.substr(at).starts_with(word)) {
      return word.size();
    }
  }
  return 0;
}

}  // namespace

std::string without_python_numbers(std::string_view text) {
  std::string result;
  bool inside = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::size_t length = inside ? 0 : python_number(text, i);
    if (length > 0) {
      result += "null";
      i += length - 1;
      continue;
    }
    if (text[i] == '"') {
      inside = !inside;
    } else if (text[i] == '\\' && inside && i + 1 < text.size()) {
      result += text[i++];
    }
    result += text[i];
  }
  return result;
}

}  // namespace moesim
