// Stored bits of quantised checkpoints, scales counted, and what stays wide.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "models/network/hf_config.h"
#include "models/network/moe_model_size.h"
#include "sim/core/error.h"
#include "sim/core/output_file.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/models/models_support.h"

using namespace moesim;
using Json = nlohmann::json;

namespace {

Json config_with(const char* quantisation) {
  Json config = Json::parse(R"({"model_type": "deepseek_v3", "hidden_size": 64, "vocab_size": 100,
      "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 96,
      "kv_lora_rank": 16, "q_lora_rank": 24, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4,
      "v_head_dim": 8, "n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2,
      "moe_intermediate_size": 32, "first_k_dense_replace": 1})");
  config["quantization_config"] = Json::parse(quantisation);
  return config;
}

// Bits of attention, dense FFN (layer 0), shared and routed experts (layer 2).
std::vector<double> bits(const char* quantisation) {
  const MoeModel model = load_model(config_with(quantisation), "config.json#", {});
  return {model.layer(2).attention.weight_bits, model.layer(0).ffn[0].weight_bits,
          model.layer(2).ffn[0].shared[0].weight_bits, model.layer(2).ffn[0].expert().weight_bits};
}

using Bits = std::vector<double>;

}  // namespace

TEST_CASE("scales count among the bits of a weight", "[models][unit]") {
  // A 4-byte scale per block of 128 x 128.
  const double block = 8 + 32.0 / 16384;
  CHECK(bits(R"({"quant_method": "fp8", "weight_block_size": [128, 128]})") ==
        Bits{block, block, block, block});
  CHECK(bits(R"({"quant_algo": "FP8"})") == Bits{8, 8, 8, 8});
  // A scale of one byte per 16 weights.
  CHECK(bits(R"({"quant_method": "modelopt", "quant_algo": "NVFP4"})") == Bits{4.5, 4.5, 4.5, 4.5});
  // A shared exponent of one byte per 32; experts alone.
  CHECK(bits(R"({"quant_method": "mxfp4"})") == Bits{16, 16, 16, 4.25});
  // Scales of 16 bits per group, zero points of 4.
  CHECK(bits(R"({"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": true})") ==
        Bits{4 + 20.0 / 128, 4 + 20.0 / 128, 4 + 20.0 / 128, 4 + 20.0 / 128});
  CHECK(bits(R"({"quant_method": "gptq", "bits": 8, "group_size": -1})") == Bits{8, 8, 8, 8});
  CHECK(bits(R"({"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights":
              {"num_bits": 4, "type": "int", "group_size": 32, "symmetric": true}}}})") ==
        Bits{4.5, 4.5, 4.5, 4.5});
}

TEST_CASE("modules that were left wide are", "[models][unit]") {
  CHECK(bits(R"({"quant_algo": "NVFP4", "ignore": ["lm_head", "model.layers.2.self_attn*"]})") ==
        Bits{16, 4.5, 4.5, 4.5});
  CHECK(bits(R"({"quant_algo": "NVFP4", "ignore": ["model.layers.0*"]})") ==
        Bits{4.5, 16, 4.5, 4.5});
  CHECK(bits(R"({"quant_algo": "NVFP4", "ignore": ["*.mlp.shared_experts.*"]})") ==
        Bits{4.5, 4.5, 16, 4.5});
  CHECK(bits(R"({"quant_method": "fp8", "modules_to_not_convert": ["gate", "lm_head",
              "model.layers.2.input_layernorm"]})") == Bits{8, 8, 8, 8});
  CHECK(bits(R"json({"quant_method": "compressed-tensors", "ignore": ["lm_head",
              "re:.*self_attn.*", "re:.*shared_experts.*",
              "re:.*mlp\\.(gate|up|gate_up|down)_proj.*"],
              "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int",
              "group_size": 32}}}})json") == Bits{16, 16, 16, 4.5});
  CHECK(bits(R"({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION",
              "quantized_layers": {"model.layers.2.mlp.experts": {"quant_algo": "NVFP4",
              "group_size": 16}}})") == Bits{16, 16, 16, 4.5});
}

TEST_CASE("a format that nobody knows is said, not guessed", "[models][unit]") {
  const MoeModel model = load_model(config_with(R"({"quant_method": "spqr"})"), "config.json#", {});
  CHECK(model.layer(0).attention.weight_bits == 0);
  REQUIRE_FALSE(model.notes.empty());
  CHECK_THAT(model.notes.front(), Catch::StartsWith("quantization_config: the format \"spqr\""));
  CHECK_THROWS_WITH(
      load_model(config_with(R"({"quant_method": "fp8", "weight_block_size": [128]})"),
                 "config.json#", {}),
      "config.json#/quantization_config/weight_block_size: two sizes above 0 are needed");
}

TEST_CASE("kernels measured with scales take their own format for such weights", "[models][unit]") {
  const MoeModel model = load_model(
      config_with(R"({"quant_algo": "NVFP4", "ignore": ["model.layers.0*"]})"), "config.json#", {});
  const double wide = weight_bytes(model, {}).blocks[0].ffn[0].dense.si();
  CHECK(wide == 3 * 64 * 96 * 2);
  CHECK(weight_bytes(model, {}).blocks.back().ffn[0].routed_expert.si() == 3 * 64 * 32 * 4.5 / 8);
}

TEST_CASE("documented defaults are told, and the language model of a larger file is read",
          "[models][unit]") {
  Json text = config_with("{}");
  text.erase("quantization_config");
  text["num_nextn_predict_layers"] = 1;
  const Json file = {{"model_type", "kimi_k25"},
                     {"architectures", {"KimiK25ForConditionalGeneration"}},
                     {"tie_word_embeddings", true},
                     {"text_config", text},
                     {"vision_config", {{"vt_hidden_size", 8}}}};
  const MoeModel model = load_model(file, "config.json#", {});
  CHECK(model.tied_embeddings);
  CHECK(model.mtp->count == 1);
  CHECK(model.notes.size() == 2);
  const MoeModel mixtral =
      load_model(Json::parse(R"({"model_type": "mixtral", "hidden_size": 64, "vocab_size": 100,
          "num_hidden_layers": 2, "num_attention_heads": 16, "intermediate_size": 96,
          "num_local_experts": 4, "num_experts_per_tok": 2})"),
                 "config.json#", {});
  CHECK(mixtral.layer(0).attention.kv_heads == 8);
  CHECK(mixtral.notes ==
        std::vector<std::string>{"num_key_value_heads is missing: 8, the documented default of the "
                                 "model's class"});
}

TEST_CASE("numbers as Python writes them are no values", "[models][unit]") {
  CHECK(without_python_numbers(R"({"a": [0.0, Infinity], "b": -Infinity, "c": NaN})") ==
        R"({"a": [0.0, null], "b": null, "c": null})");
  CHECK(without_python_numbers(R"({"NaN": "Infinity \" NaN"})") == R"({"NaN": "Infinity \" NaN"})");
}

TEST_CASE("a quantisation file lies beside its config", "[models][unit]") {
  const test::TemporaryFolder folder;
  Json config = config_with("{}");
  config.erase("quantization_config");
  const auto write = [&folder](const char* name, const std::string& text) {
    write_text_file(folder.file(name), text);
  };
  const auto bits_of = [&folder](const char* name) {
    return load_model(folder.file(name), "model", {}).layer(2).ffn[0].expert().weight_bits;
  };
  write("config.json", config.dump());
  CHECK(bits_of("config.json") == 0);
  write("hf_quant_config.json", R"({"producer": {"name": "modelopt"}, "quantization":
      {"quant_algo": "NVFP4", "group_size": 16, "exclude_modules": ["lm_head", "*self_attn*"]}})");
  CHECK(bits_of("config.json") == 4.5);
  CHECK(load_model(folder.file("config.json"), "model", {}).layer(2).attention.weight_bits == 16);
  write("some_config.json", config.dump());
  CHECK(bits_of("some_config.json") == 0);
  write("some_hf_quant_config.json", R"({"quantization": {"quant_algo": "FP8"}})");
  CHECK(bits_of("some_config.json") == 8);
  // What config.json says itself goes first.
  write("config.json", config_with(R"({"quant_algo": "FP8"})").dump());
  CHECK(bits_of("config.json") == 8);
  write("config.json", config.dump());
  write("hf_quant_config.json", R"({"quantization": 3})");
  CHECK_THROWS_WITH(bits_of("config.json"),
                    Catch::Contains("hf_quant_config.json#/quantization: an object"));
}
