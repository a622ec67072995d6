// config.json files with the published facts of each model, against the catalog's own entries.
#include "models/network/hf_config.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <nlohmann/json.hpp>

#include "models/network/moe_model_size.h"
#include "sim/core/error.h"
#include "sim/core/rng.h"
#include "tests/unit/models/models_support.h"

using namespace moesim;
using Json = nlohmann::json;

namespace {

const std::vector<std::pair<std::string, std::string>> configs{
    {"deepseek-v3", R"({
      "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3",
      "attention_bias": false, "ep_size": 1, "first_k_dense_replace": 3, "hidden_act": "silu",
      "hidden_size": 7168, "initializer_range": 0.02, "intermediate_size": 18432,
      "kv_lora_rank": 512, "max_position_embeddings": 163840, "moe_intermediate_size": 2048,
      "moe_layer_freq": 1, "n_group": 8, "n_routed_experts": 256, "n_shared_experts": 1,
      "norm_topk_prob": true, "num_attention_heads": 128, "num_experts_per_tok": 8,
      "num_hidden_layers": 61, "num_key_value_heads": 128, "num_nextn_predict_layers": 1,
      "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
      "quantization_config": {"fmt": "e4m3", "weight_block_size": [128, 128]},
      "rope_theta": 10000, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid",
      "tie_word_embeddings": false, "topk_group": 4, "topk_method": "noaux_tc",
      "torch_dtype": "bfloat16", "use_cache": true, "v_head_dim": 128, "vocab_size": 129280})"},
    {"deepseek-v2-lite", R"({
      "model_type": "deepseek_v2", "first_k_dense_replace": 1, "hidden_size": 2048,
      "intermediate_size": 10944, "kv_lora_rank": 512, "moe_intermediate_size": 1408,
      "moe_layer_freq": 1, "n_group": 1, "n_routed_experts": 64, "n_shared_experts": 2,
      "num_attention_heads": 16, "num_experts_per_tok": 6, "num_hidden_layers": 27,
      "num_key_value_heads": 16, "q_lora_rank": null, "qk_nope_head_dim": 128,
      "qk_rope_head_dim": 64, "tie_word_embeddings": false, "topk_group": 1,
      "topk_method": "greedy", "v_head_dim": 128, "vocab_size": 102400})"},
    {"mixtral-8x7b", R"({
      "model_type": "mixtral", "hidden_size": 4096, "intermediate_size": 14336,
      "num_attention_heads": 32, "num_experts_per_tok": 2, "num_hidden_layers": 32,
      "num_key_value_heads": 8, "num_local_experts": 8, "sliding_window": null,
      "router_aux_loss_coef": 0.02, "tie_word_embeddings": false, "vocab_size": 32000})"},
    {"qwen3-30b-a3b", R"({
      "model_type": "qwen3_moe", "attention_bias": false, "decoder_sparse_step": 1,
      "head_dim": 128, "hidden_size": 2048, "intermediate_size": 6144, "max_window_layers": 48,
      "mlp_only_layers": [], "moe_intermediate_size": 768, "norm_topk_prob": true,
      "num_attention_heads": 32, "num_experts": 128, "num_experts_per_tok": 8,
      "num_hidden_layers": 48, "num_key_value_heads": 4, "sliding_window": null,
      "tie_word_embeddings": false, "use_sliding_window": false, "vocab_size": 151936})"},
    {"pangu-pro-moe", R"({
      "model_type": "PanguProMoE", "hidden_size": 5120, "moe_intermediate_size": 1344,
      "num_attention_heads": 40, "num_experts": 64, "num_experts_per_tok": 8,
      "num_hidden_layers": 48, "num_key_value_heads": 8, "output_router_logits": false,
      "shared_expert_intermediate_size": 5376, "tie_word_embeddings": false,
      "vocab_size": 153376})"},
    {"switch-base-128", R"({
      "model_type": "switch_transformers", "d_ff": 3072, "d_kv": 64, "d_model": 768,
      "dropout_rate": 0.1, "expert_capacity": 64, "feed_forward_proj": "relu",
      "is_gated_act": false, "num_decoder_layers": 12, "num_experts": 128, "num_heads": 12,
      "num_layers": 12, "num_sparse_decoder_layers": 6, "num_sparse_encoder_layers": 6,
      "relative_attention_num_buckets": 32, "router_bias": false, "vocab_size": 32128})"},
    {"longcat-flash", R"({
      "architectures": ["LongcatFlashForCausalLM"], "attention_bias": false,
      "attention_method": "MLA", "expert_ffn_hidden_size": 2048, "ffn_hidden_size": 12288,
      "hidden_size": 6144, "kv_lora_rank": 512, "mla_scale_q_lora": true, "moe_topk": 12,
      "n_routed_experts": 512, "num_attention_heads": 64, "num_layers": 28, "q_lora_rank": 1536,
      "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "routed_scaling_factor": 6.0,
      "v_head_dim": 128, "vocab_size": 131072, "zero_expert_num": 256,
      "zero_expert_type": "identity"})"},
    {"llama-3.1-8b", R"({
      "model_type": "llama", "attention_bias": false, "hidden_size": 4096,
      "intermediate_size": 14336, "mlp_bias": false, "num_attention_heads": 32,
      "num_hidden_layers": 32, "num_key_value_heads": 8, "pretraining_tp": 1,
      "tie_word_embeddings": false, "vocab_size": 128256})"},
};

Json config_of(const std::string& name) {
  for (const auto& [model, text] : configs) {
    if (model == name) {
      return Json::parse(text);
    }
  }
  throw InvariantError("no such config");
}

MoeModel read(const Json& config) { return load_model(config, "config.json#", {}); }

std::string complaint(Json config, const std::string& key, const Json& value) {
  if (value.is_discarded()) {
    config.erase(key);
  } else {
    config[key] = value;
  }
  try {
    static_cast<void>(read(config));
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "nothing";
}

const Json absent(Json::value_t::discarded);

}  // namespace

TEST_CASE("a Hugging Face config is the catalog's model", "[models][unit]") {
  for (const auto& [name, text] : configs) {
    const MoeModel read_model = read(Json::parse(text));
    const MoeModel model = test::catalog_model(name);
    CAPTURE(name);
    // Everything that an effective document says, but for names, sources and how runs are cut.
    const ParameterCounts a = count_parameters(read_model);
    const ParameterCounts b = count_parameters(model);
    CHECK(a.total() == b.total());
    CHECK(a.active() == b.active());
    CHECK(a.vectors == b.vectors);
    CHECK(a.embedding == b.embedding);
    CHECK(read_model.layers.size() == model.layers.size());
    CHECK(kv_bytes_per_token(read_model, DType::bf16) == kv_bytes_per_token(model, DType::bf16));
    const RoutingShape r = routing_shape(read_model);
    const RoutingShape s = routing_shape(model);
    CHECK(std::tuple(r.layers, r.experts, r.ffn_experts, r.top_k, r.groups, r.top_groups,
                     r.per_group_k) == std::tuple(s.layers, s.experts, s.ffn_experts, s.top_k,
                                                  s.groups, s.top_groups, s.per_group_k));
    for (std::size_t i = 0; i < model.layers.size(); ++i) {
      CHECK((read_model.layer(i).moe() == nullptr) == (model.layer(i).moe() == nullptr));
      CHECK(read_model.layer(i).stack == model.layer(i).stack);
    }
  }
}

TEST_CASE("a config read once is a model of our schema", "[models][property]") {
  for (const auto& [name, text] : configs) {
    Json once;
    Json twice;
    static_cast<void>(load_model(Json::parse(text), "config.json#", {}, &once));
    static_cast<void>(load_model(once, "s.json#/model", {}, &twice));
    CAPTURE(name);
    CHECK_FALSE(is_hf_config(once));
    CHECK(once == twice);
  }
}

TEST_CASE("other architectures", "[models][unit]") {
  // OLMoE-1B-7B: 6.9e9 parameters, 1.3e9 active (2409.02060).
  const MoeModel olmoe = read(Json::parse(R"({
      "model_type": "olmoe", "hidden_size": 2048, "intermediate_size": 1024,
      "num_attention_heads": 16, "num_experts": 64, "num_experts_per_tok": 8,
      "num_hidden_layers": 16, "num_key_value_heads": 16, "vocab_size": 50304})"));
  CHECK(count_parameters(olmoe).total() == Approx(6.92e9).epsilon(0.005));
  CHECK(count_parameters(olmoe).active() == Approx(1.28e9).epsilon(0.005));
  // Qwen1.5-MoE-A2.7B: 14.3e9, 2.7e9 active (model card).
  const MoeModel qwen = read(Json::parse(R"({
      "model_type": "qwen2_moe", "decoder_sparse_step": 1, "hidden_size": 2048,
      "intermediate_size": 5632, "moe_intermediate_size": 1408, "num_attention_heads": 16,
      "num_experts": 60, "num_experts_per_tok": 4, "num_hidden_layers": 24,
      "num_key_value_heads": 16, "shared_expert_intermediate_size": 5632,
      "sliding_window": 32768, "use_sliding_window": false, "vocab_size": 151936})"));
  CHECK(count_parameters(qwen).total() == Approx(14.3e9).epsilon(0.005));
  CHECK(count_parameters(qwen).active() == Approx(2.7e9).epsilon(0.01));
  // Qwen2-7B: 7.62e9 (model card); Qwen3-8B: 8.19e9.
  const MoeModel dense = read(Json::parse(R"({
      "model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944,
      "num_attention_heads": 28, "num_hidden_layers": 28, "num_key_value_heads": 4,
      "vocab_size": 152064})"));
  CHECK(count_parameters(dense).total() == Approx(7.62e9).epsilon(0.002));
  const MoeModel qwen3 = read(Json::parse(R"({
      "model_type": "qwen3", "head_dim": 128, "hidden_size": 4096, "intermediate_size": 12288,
      "num_attention_heads": 32, "num_hidden_layers": 36, "num_key_value_heads": 8,
      "vocab_size": 151936})"));
  CHECK(count_parameters(qwen3).total() == Approx(8.19e9).epsilon(0.002));
}

TEST_CASE("sparse and dense layers of Qwen follow step and exceptions", "[models][unit]") {
  Json config = config_of("qwen3-30b-a3b");
  config["num_hidden_layers"] = 6;
  config["decoder_sparse_step"] = 2;  // layers 1, 3, 5
  config["mlp_only_layers"] = {3};
  const MoeModel model = read(config);
  std::vector<bool> sparse;
  for (std::size_t i = 0; i < 6; ++i) {
    sparse.push_back(model.layer(i).moe() != nullptr);
  }
  CHECK(sparse == std::vector<bool>{false, true, false, false, false, true});
  CHECK(model.layer(0).ffn[0].inter == 6144);
}

TEST_CASE("configs that cannot be read say why", "[models][unit]") {
  const Json v3 = config_of("deepseek-v3");
  CHECK_THAT(complaint(config_of("mixtral-8x7b"), "model_type", "mamba"),
             Catch::StartsWith("config.json#/model_type: \"mamba\" is not one of: dbrx, deepseek, "
                               "deepseek_v2, deepseek_v3, "));
  // A type that nobody knows, of a class that somebody does.
  CHECK(complaint(v3, "model_type", "deepseek_ref") == "nothing");
  CHECK_THROWS_WITH(read({{"architectures", {"RwkvForCausalLM"}}}),
                    Catch::StartsWith("config.json#/model_type: is missing; one of: "));
  CHECK(complaint(v3, "kv_lora_rank", absent) ==
        "config.json#/kv_lora_rank: is missing; a whole number is needed");
  CHECK_THAT(complaint(v3, "hidden_size", -1),
             Catch::StartsWith("config.json#/hidden_size: -1 is out of range"));
  CHECK_THAT(complaint(v3, "num_hidden_layers", 1000000000),
             Catch::StartsWith("config.json#/num_hidden_layers: 1000000000 is out of range; "
                               "allowed: 1 to 10000"));
  CHECK_THAT(complaint(v3, "num_memory_heads", 4),
             Catch::StartsWith("config.json#/num_memory_heads: looks like a shape that the reader "
                               "of this architecture does not know"));
  CHECK(complaint(v3, "favourite_colour", "blue") == "nothing");
  CHECK_THAT(complaint(v3, "num_experts_per_tok", 300),
             Catch::StartsWith("config.json# (as read from a Hugging Face config)/blocks/1/ffn/0/"
                               "router/top_k: 300 is more than the 128 experts"));
  const Json qwen = config_of("qwen3-30b-a3b");
  CHECK_THAT(complaint(qwen, "layer_types", Json::array({"linear_attention"})),
             Catch::StartsWith("config.json#/layer_types: \"linear_attention\" is not one of: "
                               "full_attention, sliding_attention"));
  CHECK(complaint(qwen, "layer_types", Json::array({"full_attention"})) == "nothing");
  CHECK_THAT(complaint(qwen, "layer_types", Json::array({"sliding_attention"})),
             Catch::StartsWith("config.json#/sliding_window: is missing, but layers use it"));
  // Keys that ask for nothing need no reader.
  CHECK(complaint(qwen, "num_memory_heads", 0) == "nothing");
  CHECK(complaint(qwen, "memory_bias", false) == "nothing");
  CHECK_THAT(complaint(qwen, "num_key_value_heads", 5),
             Catch::StartsWith("config.json#/num_key_value_heads: 5 does not divide "
                               "num_attention_heads 32"));
  CHECK_THAT(complaint(qwen, "architectures", {"Qwen3MoeForSequenceClassification"}),
             Catch::StartsWith("config.json#/architectures: \"Qwen3MoeForSequenceClassification\" "
                               "is no whole language model"));
  CHECK_THAT(complaint(qwen, "architectures", {"DeepseekV3ForCausalLMNextN"}),
             Catch::StartsWith("config.json#/architectures: \"DeepseekV3ForCausalLMNextN\" is no"));
  CHECK_THAT(complaint(qwen, "architectures", {"LlamaForCausalLM"}),
             Catch::StartsWith("config.json#/architectures: \"LlamaForCausalLM\" contradicts "
                               "model_type \"qwen3_moe\""));
  CHECK_THAT(complaint(config_of("mixtral-8x7b"), "num_attention_heads", 33),
             Catch::StartsWith("config.json#/num_attention_heads: 33 does not divide hidden_size"));
  CHECK_THAT(complaint(config_of("pangu-pro-moe"), "num_experts_per_tok", 12),
             Catch::StartsWith("config.json#/num_experts_per_tok: must be a multiple of the 8"));
}

TEST_CASE("a damaged config is read or refused", "[models][property]") {
  const RngStreams streams(21);
  const std::vector<Json> values{
      nullptr, true, -1, 0, 1, 1e300, 0.5, "x", 1LL << 62, 3, Json::array(), Json::object()};
  int refused = 0;
  int accepted = 0;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    Rng rng = streams.stream("damage", seed);
    Json config = Json::parse(configs[rng.below(configs.size())].second);
    auto item = config.begin();
    std::advance(item, static_cast<std::ptrdiff_t>(rng.below(config.size())));
    *item = values[rng.below(values.size())];
    CAPTURE(seed);
    try {
      const MoeModel model = read(config);
      CHECK(std::isfinite(count_parameters(model).total()));
      ++accepted;
    } catch (const ConfigError&) {
      ++refused;
    }
  }
  CHECK(refused > 500);
  CHECK(accepted > 100);
}
