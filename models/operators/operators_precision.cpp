#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "models/operators/operators.h"
#include "sim/core/config.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

void set_gemm_weights(Quantisation& weights, DType format) {
  weights.attention = format;
  weights.dense_ffn = format;
  weights.shared_expert = format;
  weights.routed_expert = format;
}

OpPrecision bf16() { return {}; }

OpPrecision narrow(DType format) {
  OpPrecision p;
  p.attention_gemm = format;
  p.ffn_gemm = format;
  p.expert_gemm = format;
  set_gemm_weights(p.weights, format);
  return p;
}

OpPrecision fp8_block() { return narrow(DType::fp8_block); }
OpPrecision fp8() { return narrow(DType::fp8); }

// NPU and A100 practice: int8 products, rows quantised by a kernel of their own.
OpPrecision w8a8() {
  OpPrecision p = narrow(DType::int8);
  p.separate_quantisation = true;
  return p;
}

OpPrecision int4() {
  OpPrecision p;
  set_gemm_weights(p.weights, DType::int4);
  return p;
}

// As published NVFP4 checkpoints have it: FFN and experts narrow, attention as it was.
OpPrecision fp4() {
  OpPrecision p;
  p.ffn_gemm = DType::fp4;
  p.expert_gemm = DType::fp4;
  p.weights.dense_ffn = DType::fp4;
  p.weights.shared_expert = DType::fp4;
  p.weights.routed_expert = DType::fp4;
  return p;
}

struct Preset {
  std::string_view name;
  OpPrecision (*make)();
};
constexpr std::array<Preset, 6> presets{{{"bf16", bf16},
                                         {"fp8_block", fp8_block},
                                         {"fp8", fp8},
                                         {"w8a8", w8a8},
                                         {"int4", int4},
                                         {"fp4", fp4}}};
constexpr std::array<std::string_view, 6> preset_names{"bf16", "fp8_block", "fp8",
                                                       "w8a8", "int4",      "fp4"};

// A product's format; weights follow it where the scenario names it.
DType gemm_format(ConfigObject& object, std::string_view key, DType preset,
                  std::initializer_list<DType*> weights) {
  const DType format = object.dtype_or(key, preset);
  if (object.has(key)) {
    for (DType* const weight : weights) {
      *weight = format;
    }
  }
  return format;
}

void parse_weights(ConfigObject& object, Quantisation& w) {
  w.embedding = object.dtype_or("embedding", w.embedding);
  w.head = object.dtype_or("head", w.head);
  w.attention = object.dtype_or("attention", w.attention);
  w.dense_ffn = object.dtype_or("dense_ffn", w.dense_ffn);
  w.router = object.dtype_or("router", w.router);
  w.shared_expert = object.dtype_or("shared_expert", w.shared_expert);
  w.routed_expert = object.dtype_or("routed_expert", w.routed_expert);
  w.vectors = object.dtype_or("vectors", w.vectors);
  object.reject_unknown_keys();
}

}  // namespace

std::span<const std::string_view> precision_presets() { return preset_names; }

OpPrecision precision_preset(std::string_view name, const std::string& where) {
  const auto found = std::ranges::find(presets, name, &Preset::name);
  if (found == presets.end()) {
    throw ConfigError(where,
                      "\"" + std::string(name) + "\" is not one of: " + joined(preset_names));
  }
  return found->make();
}

OpPrecision parse_precision(const Json& value, const std::string& where, Json* effective) {
  if (value.is_string()) {
    static_cast<void>(precision_preset(value.get_ref<const std::string&>(), where));
  }
  // A name alone means the object that has nothing else.
  const Json named = value.is_string() ? Json{{"preset", value}} : value;
  ConfigObject object(named, where, effective);
  OpPrecision p =
      precision_preset(object.choice_or("preset", "bf16", preset_names), object.where("preset"));
  Quantisation& w = p.weights;
  p.attention_gemm = gemm_format(object, "attention_gemm", p.attention_gemm, {&w.attention});
  p.ffn_gemm = gemm_format(object, "ffn_gemm", p.ffn_gemm, {&w.dense_ffn, &w.shared_expert});
  p.expert_gemm = gemm_format(object, "expert_gemm", p.expert_gemm, {&w.routed_expert});
  p.attention = object.dtype_or("attention", p.attention);
  p.kv = object.dtype_or("kv", p.kv);
  p.activation = object.dtype_or("activation", p.activation);
  p.router = gemm_format(object, "router", p.router, {&w.router});
  p.head = gemm_format(object, "head", p.head, {&w.head});
  p.separate_quantisation = object.boolean_or("separate_quantisation", p.separate_quantisation);
  const Json empty = Json::object();
  const auto given = object.object_if("weights");
  Json echo;
  ConfigObject weights(given ? given->json() : empty, object.where("weights"), &echo);
  parse_weights(weights, w);
  object.set_effective("weights", std::move(echo));
  object.reject_unknown_keys();
  return p;
}

}  // namespace moesim
