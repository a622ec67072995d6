// quantization_config of a checkpoint -> stored bits of every layer's components, scales counted.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>

#include "models/network/hf_reader.h"

namespace moesim::detail {
namespace {

using Json = nlohmann::json;

struct Format {
  double bits = 0;  // with scales; 0: unknown
  std::string name;
  bool experts_only = false;
  std::vector<std::string> wide;                           // patterns of modules left as they were
  std::vector<std::pair<std::string, double>> other_bits;  // patterns with bits of their own
};

// '*' stands for any characters.
bool glob(std::string_view pattern, std::string_view name) {
  std::size_t p = 0;
  std::size_t n = 0;
  std::size_t star = std::string_view::npos;
  std::size_t resume = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

// "re:" patterns as published ones use them: .*, escaped dots, (a|b). Others match nothing.
std::vector<std::string> globs_of(std::string_view expression) {
  std::vector<std::string> all{""};
  const auto append = [&all](const std::vector<std::string>& ends) {
    std::vector<std::string> longer;
    for (const std::string& start : all) {
      for (const std::string& end : ends) {
        longer.push_back(start + end);
      }
    }
    all = std::move(longer);
  };
  for (std::size_t i = 0; i < expression.size() && all.size() <= 64; ++i) {
    const char c = expression[i];
    if (expression.substr(i).starts_with(".*")) {
      append({"*"});
      ++i;
    } else if (c == '\\' && i + 1 < expression.size()) {
      append({std::string(1, expression[++i])});
    } else if (c == '(') {
      const std::size_t end = expression.find(')', i);
      if (end == std::string_view::npos) {
        return {};
      }
      std::vector<std::string> words{""};
      for (const char letter : expression.substr(i + 1, end - i - 1)) {
        if (letter == '|') {
          words.emplace_back();
        } else {
          words.back() += letter;
        }
      }
      append(words);
      i = end;
    } else if (c == '^' || c == '$') {
      continue;
    } else {
      append({std::string(1, c == '.' ? '*' : c)});
    }
  }
  return all.size() <= 64 ? all : std::vector<std::string>{};
}

// A pattern names a module (or a whole part of the tree) by its full name or by its end.
bool names(const std::string& pattern, const std::string& module) {
  if (pattern.starts_with("re:")) {
    const auto globs = globs_of(std::string_view(pattern).substr(3));
    return std::ranges::any_of(globs, [&](const std::string& g) { return glob(g, module); });
  }
  if (pattern.find('*') == std::string::npos) {
    const std::size_t at = module.find(pattern);
    const std::size_t end = at + pattern.size();
    return at != std::string::npos && (at == 0 || module[at - 1] == '.') &&
           (end == module.size() || module[end] == '.');
  }
  return glob(pattern, module) || glob(pattern + ".*", module) || glob("*." + pattern, module) ||
         glob("*." + pattern + ".*", module);
}

enum class Component { attention, dense, shared, experts };

// Names that vendors give to one matrix of a layer's component, behind the layer's own name.
std::vector<std::string_view> modules_of(Component component, std::string_view attention) {
  switch (component) {
    case Component::attention:
      if (attention == "linear") {
        return {"linear_attn.out_proj", "self_attn.o_proj"};
      }
      if (attention == "mamba") {
        return {"mixer.out_proj", "mamba.out_proj"};
      }
      return {"self_attn.o_proj", "attn.wo_b", "mixer.o_proj"};
    case Component::dense:
      return {"mlp.down_proj", "feed_forward.down_proj", "mixer.down_proj",
              "shared_mlp.output_linear"};
    case Component::shared:
      return {"mlp.shared_experts.down_proj",
              "mlp.shared_expert.down_proj",
              "ffn.shared_experts.w2",
              "mixer.shared_experts.down_proj",
              "feed_forward.shared_expert.down_proj",
              "share_expert.down_proj"};
    case Component::experts:
      return {"mlp.experts.0.down_proj", "block_sparse_moe.experts.0.w2", "ffn.experts.0.w2",
              "mixer.experts.0.down_proj", "feed_forward.experts.down_proj"};
  }
  return {};
}

constexpr std::array<std::string_view, 5> prefixes{"model.layers.", "language_model.model.layers.",
                                                   "model.language_model.layers.", "layers.",
                                                   "backbone.layers."};

template <class Match>
bool any_name(Component component, std::string_view attention, std::size_t layer, Match match) {
  for (const std::string_view prefix : prefixes) {
    for (const std::string_view module : modules_of(component, attention)) {
      std::string name(prefix);
      name += std::to_string(layer) + "." + std::string(module);
      if (match(name)) {
        return true;
      }
    }
  }
  return false;
}

double bits_of(const Format& format, Component component, std::string_view attention,
               std::size_t layer) {
  for (const auto& [pattern, bits] : format.other_bits) {
    if (any_name(component, attention, layer,
                 [&](const std::string& name) { return names(pattern, name); })) {
      return bits;
    }
  }
  if (format.experts_only && component != Component::experts) {
    return 16;
  }
  const bool wide = any_name(component, attention, layer, [&](const std::string& name) {
    return std::ranges::any_of(format.wide,
                               [&](const std::string& pattern) { return names(pattern, name); });
  });
  return wide ? 16 : format.bits;
}

std::string shown(double bits) {
  std::string text = std::to_string(bits);
  text.erase(text.find_last_not_of('0') + 1);
  return text.ends_with('.') ? text.substr(0, text.size() - 1) : text;
}

// Scales of 16 bits per group of integers; half a group's worth more for zero points.
double integer_bits(std::int64_t bits, std::int64_t group, bool zeros) {
  const auto width = static_cast<double>(bits);
  return group > 0 ? width + (16 + (zeros ? width : 0)) / static_cast<double>(group) : width;
}

double nvfp4_bits(std::int64_t group) { return 4 + 8.0 / static_cast<double>(group); }

double block_bits(HfReader& quant) {
  const std::vector<std::int64_t> block = quant.integers("weight_block_size", 1 << 20);
  if (block.empty()) {
    return 8;
  }
  if (block.size() != 2 || block[0] < 1 || block[1] < 1) {
    quant.fail("weight_block_size", "two sizes above 0 are needed");
  }
  return 8 + 32.0 / (static_cast<double>(block[0]) * static_cast<double>(block[1]));
}

// The first group of compressed-tensors and modelopt says how weights are kept.
double group_bits(HfReader& quant) {
  HfReader groups = quant.object("config_groups");
  const Json* all = quant.raw("config_groups");
  if (all->empty()) {
    return 0;
  }
  HfReader group = groups.object(all->begin().key());
  HfReader weights = group.object("weights");
  const std::int64_t bits = weights.integer("num_bits", 32);
  const std::int64_t size = weights.has("group_size") && *weights.raw("group_size") != -1
                                ? weights.integer_or("group_size", 0, 1 << 20)
                                : 0;
  if (weights.text_or("type", "int") == "float" && bits == 4) {
    return nvfp4_bits(size > 0 ? size : 16);
  }
  if (weights.text_or("type", "int") == "float") {
    const std::vector<std::int64_t> block = weights.integers("block_structure", 1 << 20);
    const bool blocks = block.size() == 2 && block[0] > 0 && block[1] > 0;
    return static_cast<double>(bits) +
           (blocks ? 32.0 / (static_cast<double>(block[0]) * static_cast<double>(block[1])) : 0);
  }
  return integer_bits(bits, size, !weights.boolean_or("symmetric", true));
}

double algorithm_bits(HfReader& quant, const std::string& algorithm) {
  if (algorithm == "NVFP4" || algorithm == "W4A16_NVFP4" || algorithm == "NVFP4_AWQ") {
    return nvfp4_bits(std::max<std::int64_t>(
        1, quant.has("group_size") ? quant.integer("group_size", 1 << 20) : 16));
  }
  if (algorithm == "MXFP4" || algorithm == "W4A8_MXFP4_FP8" || algorithm == "W4A8_MXFP4_MXFP8") {
    return 4 + 8.0 / 32;
  }
  if (algorithm == "FP8_PB_WO" || algorithm == "FP8_BLOCK_SCALES") {
    return 8 + 32.0 / (128 * 128);
  }
  if (algorithm == "FP8" || algorithm == "FP8_PER_CHANNEL_PER_TOKEN" || algorithm == "INT8_SQ") {
    return 8;
  }
  if (algorithm == "W4A16_AWQ" || algorithm == "W4A8_AWQ") {
    return integer_bits(4, quant.integer_or("group_size", 128, 1 << 20), false);
  }
  return 0;
}

void read_exceptions(HfReader& quant, Format& format) {
  for (const std::string_view key : {"modules_to_not_convert", "ignored_layers", "ignore",
                                     "exclude_modules", "modules_to_not_quantize"}) {
    for (std::string& pattern : quant.texts(key)) {
      format.wide.push_back(std::move(pattern));
    }
  }
  const Json* layers = quant.raw("quantized_layers");
  if (layers != nullptr && layers->is_object()) {
    HfReader listed = quant.object("quantized_layers");
    for (const auto& item : layers->items()) {
      HfReader layer = listed.object(item.key());
      const double bits = algorithm_bits(layer, layer.text_or("quant_algo", ""));
      if (bits > 0) {
        format.other_bits.emplace_back(item.key(), bits);
      }
    }
  }
}

Format format_of(HfReader& quant) {
  Format format;
  const std::string algorithm = quant.text_or("quant_algo", "");
  const std::string method = quant.text_or("quant_method", algorithm.empty() ? "" : "modelopt");
  format.name = method + (algorithm.empty() ? "" : " " + algorithm);
  read_exceptions(quant, format);
  if (method == "fp8" || method == "fbgemm_fp8") {
    format.bits = block_bits(quant);
  } else if (method.starts_with("modelopt") && !algorithm.empty()) {
    format.bits = algorithm_bits(quant, algorithm);
  } else if ((method == "compressed-tensors" || method.starts_with("modelopt")) &&
             quant.has("config_groups")) {
    format.bits = group_bits(quant);
  } else if (method == "mxfp4") {
    format.bits = 4 + 8.0 / 32;
    format.experts_only = true;
  } else if (method == "awq" || method == "gptq" || method == "auto-round") {
    const Json* size = quant.raw("group_size");
    const std::int64_t group =
        size == nullptr || *size == -1 ? 0 : quant.integer("group_size", 1 << 20);
    format.bits = integer_bits(quant.documented("bits", 4, 8), group,
                               method == "gptq" || quant.boolean_or("zero_point", true));
  } else if (method == "bitsandbytes") {
    format.bits = quant.boolean_or("load_in_4bit", false) ? 4 + 32.0 / 64 : 8;
  }
  return format;
}

void set_bits(Json& layer, const Format& format, std::size_t index) {
  Json& attention = layer["attention"];
  const std::string kind = attention.value("kind", "");
  if (kind != "none") {
    attention["bits"] = bits_of(format, Component::attention, kind, index);
  }
  for (Json& ffn : layer["ffn"]) {
    if (ffn["kind"] == "dense") {
      ffn["bits"] = bits_of(format, Component::dense, kind, index);
      continue;
    }
    ffn["experts"][0]["bits"] = bits_of(format, Component::experts, kind, index);
    if (ffn.contains("shared")) {
      for (Json& shared : ffn["shared"]) {
        shared["bits"] = bits_of(format, Component::shared, kind, index);
      }
    }
  }
}

}  // namespace

void hf_quantise(HfReader& reader, const Json& outer, const std::string& where, Json& document) {
  const Json* config = reader.raw("quantization_config");
  std::string at = reader.where("quantization_config");
  if (config == nullptr) {
    const auto found = outer.find("quantization_config");
    config = found == outer.end() || found->is_null() ? nullptr : &*found;
    at = where + "/quantization_config";
  }
  // DeepSeek-V4 says of its experts alone that they are MXFP4.
  const std::string experts = reader.text_or("expert_dtype", "");
  if (config == nullptr) {
    return;
  }
  HfReader quant(*config, at);
  Format format = format_of(quant);
  if (experts == "fp4" && format.other_bits.empty()) {
    format.other_bits.emplace_back("layers.*.ffn.experts", 4 + 8.0 / 32);
    format.name += ", experts mxfp4";
  }
  if (format.bits == 0 && format.other_bits.empty()) {
    reader.note("quantization_config: the format \"" + format.name +
                "\" is not known; weights count as the scenario's precision says");
    return;
  }
  if (format.bits == 0) {
    format.bits = 16;
  }
  std::size_t index = 0;
  for (Json& layer : document["blocks"]) {
    set_bits(layer, format, index++);
  }
  if (document.contains("mtp")) {
    set_bits(document["mtp"], format, index);
  }
  std::string text = format.name + ": " + shown(format.bits) + " bits a weight, scales included";
  for (std::size_t i = 0; i < format.wide.size() && i < 6; ++i) {
    text += (i == 0 ? "; 16 bits: " : ", ") + format.wide[i];
  }
  if (format.wide.size() > 6) {
    text += " and " + std::to_string(format.wide.size() - 6) + " more";
  }
  document["checkpoint"] = text;
  for (const std::string& note : quant.notes()) {
    reader.note("quantization_config: " + note);
  }
}

}  // namespace moesim::detail
