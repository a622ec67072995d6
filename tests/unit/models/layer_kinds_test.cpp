// Caches of layers that keep less than everything, and the work of attention that sees less.
#include <catch2/catch.hpp>
#include <cmath>
#include <nlohmann/json.hpp>

#include "models/network/moe_model_size.h"
#include "models/operators/operators.h"
#include "sim/core/error.h"
#include "tests/unit/models/models_support.h"

using namespace moesim;
using Json = nlohmann::json;

namespace {

MoeModel with_attention(const char* attention, const char* more = "{}") {
  Json document = test::tiny_model();
  document["blocks"] = Json::array(
      {{{"attention", Json::parse(attention)}, {"ffn", {{{"kind", "dense"}, {"inter", 32}}}}}});
  document.merge_patch(Json::parse(more));
  return test::model_of(document);
}

double cache(const MoeModel& model, std::int64_t context) {
  return kv_bytes_per_sequence(model, DType::bf16, context).si();
}

Op core_of(const std::vector<Op>& ops, std::string_view label) {
  for (const Op& op : ops) {
    if (op.label == label) {
      return op;
    }
  }
  throw InvariantError("no such kernel");
}

// FLOPs of the attention kernel of one sequence, counted query by query.
template <class Seen>
double flops_by_query(std::int64_t query_len, std::int64_t context, double per_pair, Seen seen) {
  double pairs = 0;
  for (std::int64_t position = context - query_len; position < context; ++position) {
    pairs += static_cast<double>(seen(position));
  }
  return pairs * per_pair;
}

}  // namespace

TEST_CASE("a window bounds the cache", "[models][unit]") {
  const MoeModel model = with_attention(
      R"({"kind": "gqa", "heads": 8, "kv_heads": 2, "head_dim": 16, "window": 100})");
  const double token = 2 * 2 * 16 * 2;
  CHECK(kv_bytes_per_token(model, DType::bf16).si() == token);
  CHECK(cache(model, 60) == 60 * token);
  CHECK(cache(model, 100) == 100 * token);
  CHECK(cache(model, 5000) == 100 * token);
  const MoeModel chunked =
      with_attention(R"({"kind": "gqa", "heads": 8, "kv_heads": 2, "head_dim": 16, "chunk": 64})");
  CHECK(cache(chunked, 5000) == 64 * token);
}

TEST_CASE("sequences hold whole pages", "[models][unit]") {
  const char* attention = R"({"kind": "gqa", "heads": 8, "kv_heads": 2, "head_dim": 16})";
  const double token = 2 * 2 * 16 * 2;
  CHECK(cache(with_attention(attention), 65) == 65 * token);
  const MoeModel paged = with_attention(attention, R"({"kv": {"page_tokens": 64}})");
  CHECK(cache(paged, 64) == 64 * token);
  CHECK(cache(paged, 65) == 128 * token);
}

TEST_CASE("an indexer's keys lie beside the latents, in a byte each", "[models][unit]") {
  const MoeModel model = with_attention(
      R"({"kind": "mla", "heads": 8, "q_rank": 24, "kv_rank": 32, "nope_dim": 12, "rope_dim": 4,
          "value_dim": 10, "indexer": {"heads": 4, "head_dim": 128, "top_k": 16}})");
  // 32 + 4 values of two bytes, 128 of one and a scale of four.
  CHECK(kv_bytes_per_token(model, DType::bf16).si() == 2 * 36 + 132);
  CHECK(kv_bytes_per_token(model, DType::fp8).si() == 36 + 132);
}

TEST_CASE("compressed attention keeps a window and an entry per pool", "[models][unit]") {
  const MoeModel model = with_attention(
      R"({"kind": "compressed", "heads": 8, "head_dim": 16, "q_rank": 24, "window": 100,
          "compress": 32, "o_groups": 4, "o_rank": 12})");
  CHECK(cache(model, 50) == (50 + 1) * 16 * 2);
  CHECK(cache(model, 3200) == (100 + 100) * 16 * 2);
}

TEST_CASE("Mamba-2 keeps a state per sequence", "[models][unit]") {
  const MoeModel model = with_attention(
      R"({"kind": "mamba", "heads": 8, "head_dim": 12, "state_dim": 16, "groups": 2})");
  CHECK(model.kv.kind == KvKind::state);
  CHECK(cache(model, 5000) == 0);
  // 8 x 12 x 16 in fp32; four positions of x, B and C in bf16.
  CHECK(state_bytes_per_sequence(model).si() == 4 * 8 * 12 * 16 + 2 * 4 * (8 * 12 + 2 * 2 * 16));
}

TEST_CASE("work of windows and chunks is what queries see", "[models][property]") {
  for (const std::int64_t query_len : {1, 7, 64, 150}) {
    for (const std::int64_t context : {150, 151, 190, 640}) {
      const AttentionBatch batch{query_len == 1 ? Phase::decode : Phase::prefill, 3, query_len,
                                 context, 0};
      CAPTURE(query_len, context);
      const MoeModel window = with_attention(
          R"({"kind": "gqa", "heads": 8, "kv_heads": 2, "head_dim": 16, "window": 50})");
      const Op near = core_of(attention_ops(window, window.layer(0), batch, {}), "attention");
      CHECK(flops_of(near.shape).si() ==
            Approx(3 * flops_by_query(query_len, context, 4 * 8 * 16, [](std::int64_t position) {
                     return std::min<std::int64_t>(50, position + 1);
                   })));
      const MoeModel chunk = with_attention(
          R"({"kind": "gqa", "heads": 8, "kv_heads": 2, "head_dim": 16, "chunk": 40})");
      double own = 0;
      for (const Op& op : attention_ops(chunk, chunk.layer(0), batch, {})) {
        own += op.label == "attention" ? flops_of(op.shape).si() : 0.0;
      }
      // Decoding sequences may stand anywhere in their chunks.
      const bool decode = query_len == 1;
      CHECK(own == Approx(3 * flops_by_query(query_len, context, 4 * 8 * 16,
                                             [decode](std::int64_t position) {
                                               return decode ? 40 : position % 40 + 1;
                                             })));
    }
  }
}

TEST_CASE("within its window attention is ordinary attention", "[models][unit]") {
  const MoeModel model = with_attention(
      R"({"kind": "gqa", "heads": 8, "kv_heads": 2, "head_dim": 16, "window": 100})");
  const auto core = [&](std::int64_t context) {
    return core_of(attention_ops(model, model.layer(0), {Phase::decode, 2, 1, context, 0}, {}),
                   "attention")
        .shape;
  };
  CHECK(std::get<AttentionOp>(core(100)).window == 0);
  CHECK(std::get<AttentionOp>(core(101)).window == 100);
}

TEST_CASE("sparse attention looks at what was chosen", "[models][unit]") {
  const MoeModel model = with_attention(
      R"({"kind": "mla", "heads": 8, "q_rank": 24, "kv_rank": 32, "nope_dim": 12, "rope_dim": 4,
          "value_dim": 10, "indexer": {"heads": 4, "head_dim": 8, "top_k": 16}})");
  const auto few = attention_ops(model, model.layer(0), {Phase::decode, 2, 1, 16, 0}, {});
  CHECK(std::holds_alternative<MlaOp>(core_of(few, "mla").shape));
  const auto many = attention_ops(model, model.layer(0), {Phase::decode, 2, 1, 1000, 0}, {});
  CHECK(flops_of(core_of(many, "mla").shape).si() == 2 * 2 * 8 * 16 * (2 * 32 + 4));
  CHECK(flops_of(core_of(many, "indexer").shape).si() == 2 * 2 * 4 * 8 * 1000);
}

TEST_CASE("prediction modules cost memory and time where they are asked for", "[models][unit]") {
  const char* attention = R"({"kind": "gqa", "heads": 8, "kv_heads": 2, "head_dim": 16})";
  const char* modules = R"({"mtp": {"count": 2, "attention": {"kind": "gqa", "heads": 8,
      "kv_heads": 2, "head_dim": 16}, "ffn": [{"kind": "dense", "inter": 32}]}})";
  const MoeModel without = with_attention(attention, modules);
  Json asked = Json::parse(modules);
  asked["mtp_layers"] = 2;
  const MoeModel with = with_attention(attention, asked.dump().c_str());
  const double block = count_parameters(without).total() - 2 * 100 * 64 - 64;
  CHECK(without.layers.size() == 1);
  REQUIRE(with.layers.size() == 3);
  // Each: the block, a projection of two hidden widths, three norms.
  CHECK(count_parameters(with).total() ==
        count_parameters(without).total() + 2 * (block + 2 * 64 * 64 + 3 * 64));
  CHECK(cache(with, 10) == 3 * cache(without, 10));
  CHECK(attention_ops(with, with.layer(2), {Phase::decode, 2, 1, 50, 0}, {}).size() ==
        attention_ops(with, with.layer(0), {Phase::decode, 2, 1, 50, 0}, {}).size() + 2);
  CHECK(head_ops(with, 4, {}).size() == 3 * head_ops(without, 4, {}).size());
}

TEST_CASE("equal blocks are one", "[models][unit]") {
  Json document = test::tiny_model();
  document["blocks"].push_back(document["blocks"][0]);
  document["blocks"].push_back(document["blocks"][1]);
  const MoeModel model = test::model_of(document);
  CHECK(model.blocks.size() == 2);
  CHECK(model.layers == std::vector<std::int32_t>{0, 1, 1, 0, 1, 1});
}

TEST_CASE("a reference may change keys of a model", "[models][unit]") {
  const MoeModel model = load_model({{"model", "deepseek-v3"}, {"kv", {{"page_tokens", 16}}}},
                                    "s#/model", test::catalog_dirs());
  CHECK(model.kv.page_tokens == 16);
  CHECK(count_parameters(model).total() ==
        count_parameters(test::catalog_model("deepseek-v3")).total());
  CHECK_THROWS_WITH(load_model({{"model", 3}}, "s#/model", test::catalog_dirs()),
                    "s#/model/model: the name or path of a model is needed");
}
