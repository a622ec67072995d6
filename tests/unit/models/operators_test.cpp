#include "models/operators/operators.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "sim/core/error.h"
#include "sim/core/rng.h"
#include "tests/unit/models/models_support.h"

using namespace moesim;
using test::catalog_model;

namespace {

const Op& find(const std::vector<Op>& ops, std::string_view label) {
  const auto found = std::ranges::find(ops, label, &Op::label);
  INFO("label " << label);
  REQUIRE(found != ops.end());
  return *found;
}

bool has(const std::vector<Op>& ops, std::string_view label) {
  return std::ranges::find(ops, label, &Op::label) != ops.end();
}

const GemmOp& gemm(const std::vector<Op>& ops, std::string_view label) {
  return std::get<GemmOp>(find(ops, label).shape);
}

// What multiplies weights: not the attention cores.
bool multiplies_weights(const Op& op) {
  return std::holds_alternative<MoeOp>(op.shape) || std::holds_alternative<GemmOp>(op.shape);
}

struct Sum {
  double flops = 0;
  double weight_bytes = 0;
};

double weight_bytes_of(const Op& op) {
  // In memory NVFP4's scales of a byte per 16 values come with it.
  const auto bits = [](double own, DType storage) {
    return own > 0 ? own : storage == DType::fp4 ? 4.5 : stored_bits(storage);
  };
  if (const auto* g = std::get_if<GemmOp>(&op.shape)) {
    return static_cast<double>(g->batch * g->n * g->k) * bits(g->weight_bits, g->weight_storage) /
           8;
  }
  const auto& moe = std::get<MoeOp>(op.shape);
  return static_cast<double>(moe.load.touched_experts * moe.matrices * moe.hidden * moe.inter) *
         bits(moe.weight_bits, moe.weight_storage) / 8;
}

void add(Sum& sum, const std::vector<Op>& ops) {
  for (const Op& op : ops) {
    if (multiplies_weights(op)) {
      sum.flops += flops_of(op.shape).si();
      sum.weight_bytes += weight_bytes_of(op);
    }
  }
}

// One whole forward pass on one rank per tensor-parallel group, all experts touched.
struct Pass {
  Phase phase = Phase::decode;
  std::int64_t tokens = 0;  // of the decoder; an encoder gets as many
  TensorParallel tp;
};

AttentionBatch batch_of(const Pass& pass, const Block& block) {
  if (block.stack == Stack::encoder || pass.phase == Phase::prefill) {
    return {Phase::prefill, 1, pass.tokens, pass.tokens, pass.tokens};
  }
  return {Phase::decode, pass.tokens, 1, 100, pass.tokens};
}

// The routed pairs of the mean token.
ExpertShard balanced(const FfnGroup& group, const Pass& pass) {
  const auto pairs =
      static_cast<std::int64_t>(group.expected_ffn_k * static_cast<double>(pass.tokens) + 0.5);
  const std::int64_t experts = group.ffn_experts();
  return {.entering_tokens = pass.tokens,
          .local_experts = experts,
          .etp = pass.tp.expert,
          .load = {.pairs = pairs, .touched_experts = experts, .busiest = pairs / experts + 1}};
}

void add_ffn(Sum& sum, const MoeModel& model, const FfnGroup& group, const Pass& pass,
             const OpPrecision& precision) {
  if (group.kind == FfnKind::dense) {
    add(sum, dense_ffn_ops(model, group, pass.tokens, precision, pass.tp.dense));
    return;
  }
  add(sum, shared_expert_ops(model, group, pass.tokens, precision, pass.tp.shared));
  add(sum, latent_in_ops(model, group, pass.tokens, precision));
  add(sum, latent_out_ops(model, group, pass.tokens, precision));
  for (std::int64_t round = 0; round < group.rounds; ++round) {
    add(sum, router_ops(model, group, pass.tokens, precision));
    Sum experts;
    add(experts, {routed_expert_op(model, group, balanced(group, pass), precision)});
    sum.flops += experts.flops;
    sum.weight_bytes += round == 0 ? experts.weight_bytes : 0;  // the same experts again
  }
}

Sum forward(const MoeModel& model, const Pass& pass, const OpPrecision& precision) {
  Sum sum;
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    const Block& block = model.layer(i);
    add(sum, attention_ops(model, block, batch_of(pass, block), precision, pass.tp.attention));
    for (const FfnGroup& group : block.ffn) {
      add_ffn(sum, model, group, pass, precision);
    }
  }
  add(sum, head_ops(model, pass.tokens, precision, pass.tp.vocabulary));
  return sum;
}

// Matrices only: vectors are not multiplied by any GEMM.
double matrix_parameters(const ParameterCounts& counts) {
  return counts.active_without_embedding() - counts.vectors - counts.active_routed_vectors;
}

std::vector<MoeModel> models() {
  std::vector<MoeModel> all;
  for (const std::string& name : catalog_names(test::catalog_dirs())) {
    all.push_back(catalog_model(name));
  }
  auto tiny = test::tiny_model();
  auto& moe = tiny["blocks"][1]["ffn"][0];
  moe["rounds"] = 3;
  moe["latent_dim"] = 24;
  moe["router"]["residual"] = true;
  moe["experts"].push_back({{"count", 2}, {"kind", "copy"}});
  moe["expected_ffn_k"] = 1.5;
  tiny["blocks"].push_back(nlohmann::json::parse(
      R"({"attention": {"kind": "linear", "value_heads": 8, "key_heads": 4, "key_dim": 16,
                        "value_dim": 24},
          "ffn": [{"kind": "dense", "inter": 32, "matrices": 2}]})"));
  all.push_back(test::model_of(tiny));
  for (const nlohmann::json& document : test::models_of_every_attention()) {
    all.push_back(test::model_of(document));
  }
  return all;
}

// Biases of all routed experts: they lie with the experts, and no kernel counts them.
double expert_bias_bytes(const MoeModel& model, const Quantisation& formats) {
  return count_parameters(model).routed_vectors * stored_bits(formats.vectors) / 8;
}

}  // namespace

// Two independent derivations: the table of matrices behind count_parameters, and the kernels.
TEST_CASE("GEMM work per token is twice the active parameters", "[models][property]") {
  for (const MoeModel& model : models()) {
    const double parameters = matrix_parameters(count_parameters(model));
    for (const Phase phase : {Phase::decode, Phase::prefill}) {
      const Pass pass{.phase = phase, .tokens = 48, .tp = {}};
      double expected = 2 * 48 * parameters;
      if (phase == Phase::decode) {
        // Keys and values of the source were projected when the sequence was prefilled.
        for (std::size_t i = 0; i < model.layers.size(); ++i) {
          if (const auto& cross = model.layer(i).cross_attention) {
            expected -= 2 * 48 * 2 * static_cast<double>(cross->kv_heads * cross->head_dim) *
                        static_cast<double>(model.hidden);
          }
        }
      }
      CAPTURE(model.name, static_cast<int>(phase));
      CHECK(forward(model, pass, OpPrecision{}).flops == Approx(expected).epsilon(1e-12));
    }
  }
}

TEST_CASE("the weights that kernels read are the weights in memory", "[models][property]") {
  for (const MoeModel& model : models()) {
    for (const std::string_view preset : precision_presets()) {
      const OpPrecision precision = precision_preset(preset, "test#");
      const WeightBytes bytes = weight_bytes(model, precision.weights);
      double expected = bytes.total(model).si() - bytes.final_norm.si() -
                        expert_bias_bytes(model, precision.weights);
      expected -= model.tied_embeddings ? 0 : bytes.embedding.si();
      for (const std::int32_t index : model.layers) {
        expected -= bytes.blocks[static_cast<std::size_t>(index)].vectors.si();
      }
      CAPTURE(model.name, preset);
      const Pass pass{.phase = Phase::prefill, .tokens = 48, .tp = {}};
      CHECK(forward(model, pass, precision).weight_bytes == Approx(expected).epsilon(1e-12));
    }
  }
}

TEST_CASE("tensor parallelism divides the work of what it cuts", "[models][property]") {
  const OpPrecision precision;
  for (const std::string name : {"deepseek-v3", "mixtral-8x7b", "qwen3-30b-a3b"}) {
    const MoeModel model = catalog_model(name);
    const TensorParallel tp{.attention = 4, .dense = 4, .shared = 4, .expert = 4, .vocabulary = 4};
    check_tensor_parallel(model, tp, "test#");
    const Pass alone{.phase = Phase::decode, .tokens = 48, .tp = {}};
    const Pass cut{.phase = Phase::decode, .tokens = 48, .tp = tp};
    // Whole on every rank: routers, and MLA's compressions of queries and keys.
    double whole = count_parameters(model).router;
    for (std::size_t i = 0; i < model.layers.size(); ++i) {
      const Attention& a = model.layer(i).attention;
      whole += a.kind == AttentionKind::mla
                   ? static_cast<double>(model.hidden) *
                         static_cast<double>(a.q_rank + a.kv_rank + a.rope_dim)
                   : 0;
    }
    const double all = forward(model, alone, precision).flops;
    const double replicated = 2 * 48 * whole;
    CAPTURE(name);
    CHECK(forward(model, cut, precision).flops ==
          Approx((all - replicated) / 4 + replicated).epsilon(1e-12));
    // And the same of the bytes in memory.
    const WeightBytes one = weight_bytes(model, precision.weights);
    const WeightBytes four = weight_bytes(model, precision.weights, tp);
    double vectors = one.final_norm.si();
    for (const std::int32_t index : model.layers) {
      vectors += one.blocks[static_cast<std::size_t>(index)].vectors.si();
    }
    const double fixed = 2 * whole + vectors;
    CHECK(four.total(model).si() ==
          Approx((one.total(model).si() - fixed) / 4 + fixed).epsilon(1e-12));
  }
}

TEST_CASE("more ranks than KV heads keep one head each", "[models][unit]") {
  const MoeModel model = catalog_model("qwen3-30b-a3b");  // 32 heads on 4
  const auto ops = attention_ops(model, model.layer(0), {Phase::decode, 2, 1, 50, 0}, {}, 8);
  CHECK(gemm(ops, "qkv_proj").n == (32 / 8 + 2) * 128);
  CHECK(std::get<AttentionOp>(find(ops, "attention").shape).kv_heads == 1);
  CHECK_THROWS_WITH(
      check_tensor_parallel(model, {.attention = 3}, "s.json#/parallelism/tp"),
      "s.json#/parallelism/tp: tensor parallelism 3 does not divide the attention heads (32)");
  CHECK_THROWS_AS(check_tensor_parallel(model, {.expert = 5}, "s.json#"), ConfigError);
}

TEST_CASE("decode of MLA is absorbed, prefill expands the whole context", "[models][unit]") {
  const MoeModel model = catalog_model("deepseek-v3");
  const auto decode = attention_ops(model, model.layer(5), {Phase::decode, 128, 1, 4096, 0}, {});
  CHECK(gemm(decode, "qkv_a_proj").n == 1536 + 512 + 64);
  CHECK(gemm(decode, "q_b_proj").n == 128 * 192);
  const GemmOp& k_up = gemm(decode, "k_up");
  CHECK(k_up.batch == 128);
  CHECK(k_up.m == 128);
  CHECK(k_up.n == 512);
  CHECK(k_up.k == 128);
  CHECK_FALSE(has(decode, "kv_b_proj"));
  CHECK(gemm(decode, "o_proj").k == 128 * 128);
  // Second half of a prompt of 2,048 tokens.
  const auto prefill = attention_ops(model, model.layer(5), {Phase::prefill, 3, 1024, 2048, 0}, {});
  CHECK(gemm(prefill, "qkv_a_proj").m == 3 * 1024);
  CHECK(gemm(prefill, "kv_b_proj").m == 3 * 2048);
  CHECK_FALSE(has(prefill, "k_up"));
}

TEST_CASE("a mixed step projects all tokens together", "[models][unit]") {
  const MoeModel model = catalog_model("mixtral-8x7b");
  const std::vector<AttentionBatch> mixed{{Phase::prefill, 2, 100, 100, 0},
                                          {Phase::decode, 30, 1, 500, 0}};
  CHECK(tokens_of(mixed) == 230);
  CHECK(logit_rows_of(mixed) == 32);
  const auto ops = attention_ops(model, model.layer(0), mixed, {});
  CHECK(gemm(ops, "qkv_proj").m == 230);
  CHECK(std::ranges::count(ops, std::string_view("attention"), &Op::label) == 2);
  CHECK(attention_ops(model, model.layer(0), std::vector<AttentionBatch>{}, {}).empty());
}

TEST_CASE("attention appends exactly the KV cache to memory", "[models][property]") {
  for (const std::string name :
       {"deepseek-v3", "deepseek-v2-lite", "mixtral-8x7b", "qwen3-30b-a3b", "pangu-pro-moe"}) {
    const MoeModel model = catalog_model(name);
    OpPrecision bf16;
    OpPrecision fp8 = bf16;
    fp8.kv = DType::fp8;
    const Block& block = model.layer(model.layers.size() - 1);
    const AttentionBatch batch{Phase::decode, 7, 1, 64, 0};
    const auto written = [&](const OpPrecision& precision) {
      const auto ops = attention_ops(model, block, batch, precision);
      return std::get<MemoryOp>(find(ops, "rope_append").shape).written.si();
    };
    CAPTURE(name);
    // Only the appended part shrinks with the cache's format, to half.
    CHECK(written(bf16) - written(fp8) == 7 * kv_bytes_per_token(block.attention, DType::fp8).si());
  }
}

TEST_CASE("encoders see all tokens and keep no cache; decoders look at the source",
          "[models][unit]") {
  const MoeModel model = catalog_model("switch-base-128");
  const auto encoder = attention_ops(model, model.layer(0), {Phase::prefill, 2, 30, 30, 0}, {});
  CHECK_FALSE(std::get<AttentionOp>(find(encoder, "attention").shape).causal);
  const auto decoder = attention_ops(model, model.layer(12), {Phase::decode, 2, 1, 8, 30}, {});
  std::vector<AttentionOp> cores;
  for (const Op& op : decoder) {
    if (op.label == "attention") {
      cores.push_back(std::get<AttentionOp>(op.shape));
    }
  }
  REQUIRE(cores.size() == 2);
  CHECK(cores[0].causal);
  CHECK(cores[0].context == 8);
  CHECK_FALSE(cores[1].causal);
  CHECK(cores[1].context == 30);
  CHECK_FALSE(has(decoder, "cross_kv_proj"));  // projected when the sequence began
  const auto start = attention_ops(model, model.layer(12), {Phase::prefill, 2, 1, 1, 30}, {});
  CHECK(gemm(start, "cross_kv_proj").m == 60);
}

TEST_CASE("rows are quantised apart only where the kernels do not", "[models][unit]") {
  const MoeModel model = catalog_model("pangu-pro-moe");
  const AttentionBatch batch{Phase::decode, 16, 1, 100, 0};
  const OpPrecision w8a8 = precision_preset("w8a8", "test#");
  const auto ops = attention_ops(model, model.layer(0), batch, w8a8);
  REQUIRE(std::ranges::count(ops, std::string_view("quantise"), &Op::label) == 2);
  // 16 rows of 5,120: read as bf16, written as int8 with a 4-byte scale each.
  const auto& quantise = std::get<MemoryOp>(find(ops, "quantise").shape);
  CHECK(quantise.read.si() == 16 * 5120 * 2);
  CHECK(quantise.written.si() == 16 * 5120 + 16 * 4);
  for (const std::string_view preset : {"bf16", "fp8_block", "fp8", "int4"}) {
    CHECK_FALSE(has(attention_ops(model, model.layer(0), batch, precision_preset(preset, "test#")),
                    "quantise"));
  }
  OpPrecision blocks = precision_preset("fp8_block", "test#");
  blocks.separate_quantisation = true;
  const auto apart = attention_ops(model, model.layer(0), batch, blocks);
  CHECK(std::get<MemoryOp>(find(apart, "quantise").shape).written.si() ==
        16 * 5120 + 16 * 40 * 4);  // 40 blocks of 128 a row
}

TEST_CASE("identity experts cost an addition, absent ones nothing", "[models][unit]") {
  const MoeModel longcat = catalog_model("longcat-flash");
  const FfnGroup& moe = *longcat.layer(0).moe();
  REQUIRE(free_expert_ops(longcat, moe, 10, {}).size() == 1);
  CHECK(gemm(router_ops(longcat, moe, 10, {}), "router").n == 768);
  const MoeModel v3 = catalog_model("deepseek-v3");
  CHECK(free_expert_ops(v3, *v3.layer(5).moe(), 10, {}).empty());
  const Op op =
      routed_expert_op(longcat, moe, {.entering_tokens = 10, .local_experts = 16, .load = {}}, {});
  CHECK(std::get<MoeOp>(op.shape).total_experts == 512);
}

TEST_CASE("no tokens, no kernels", "[models][unit]") {
  const MoeModel model = catalog_model("deepseek-v3");
  const FfnGroup& moe = *model.layer(5).moe();
  CHECK(router_ops(model, moe, 0, {}).empty());
  CHECK(shared_expert_ops(model, moe, 0, {}).empty());
  CHECK(dense_ffn_ops(model, model.layer(0).ffn[0], 0, {}).empty());
  CHECK(embedding_ops(model, 0, {}).empty());
  CHECK(head_ops(model, 0, {}).empty());
}

TEST_CASE("precision: presets, single fields, mistakes", "[models][unit]") {
  using nlohmann::json;
  const auto parse = [](const char* text) {
    return parse_precision(json::parse(text), "s.json#/run/precision");
  };
  const OpPrecision fp8 = parse(R"("fp8_block")");
  CHECK(fp8.expert_gemm == DType::fp8_block);
  CHECK(fp8.weights.attention == DType::fp8_block);
  CHECK(fp8.weights.embedding == DType::bf16);
  CHECK(fp8.kv == DType::bf16);
  const OpPrecision int4 = parse(R"({"preset": "int4", "kv": "fp8"})");
  CHECK(int4.expert_gemm == DType::bf16);
  CHECK(int4.weights.routed_expert == DType::int4);
  CHECK(int4.kv == DType::fp8);
  // A named product takes its weights along.
  const OpPrecision mixed = parse(R"({"expert_gemm": "fp8", "weights": {"head": "fp8"}})");
  CHECK(mixed.weights.routed_expert == DType::fp8);
  CHECK(mixed.weights.attention == DType::bf16);
  CHECK(mixed.weights.head == DType::fp8);
  CHECK_THROWS_WITH(parse(R"("fp9")"),
                    "s.json#/run/precision: \"fp9\" is not one of: bf16, fp8_block, fp8, w8a8, "
                    "int4, fp4");
  CHECK_THROWS_WITH(parse(R"({"kv": "fp9"})"),
                    Catch::Contains("s.json#/run/precision/kv: \"fp9\" is not one of"));
  CHECK_THROWS_WITH(parse(R"({"weights": {"heads": "fp8"}})"),
                    Catch::Contains("s.json#/run/precision/weights/heads: unknown key"));
  CHECK_THROWS_AS(parse("7"), ConfigError);
}

TEST_CASE("the effective precision reads back to itself", "[models][property]") {
  using nlohmann::json;
  for (const std::string_view preset : precision_presets()) {
    json once;
    json twice;
    static_cast<void>(parse_precision({{"preset", preset}, {"kv", "fp8"}}, "p#", &once));
    static_cast<void>(parse_precision(once, "p#", &twice));
    CHECK(once == twice);
    CHECK(once["weights"].size() == 8);
  }
}
