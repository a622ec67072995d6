#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

#include "models/network/moe_model_size.h"
#include "sim/core/error.h"
#include "sim/core/rng.h"
#include "tests/unit/models/models_support.h"

using namespace moesim;
using Json = nlohmann::json;

namespace {

// What the reader says about the tiny model after one change.
std::string complaint(const std::string& pointer, const Json& value) {
  Json document = test::tiny_model();
  document[Json::json_pointer(pointer)] = value;
  try {
    static_cast<void>(test::model_of(document));
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "nothing";
}

std::string without(const std::string& object, const std::string& key) {
  Json document = test::tiny_model();
  document[Json::json_pointer(object)].erase(key);
  try {
    static_cast<void>(test::model_of(document));
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "nothing";
}

}  // namespace

TEST_CASE("the tiny model reads as written", "[models][unit]") {
  const MoeModel model = test::model_of(test::tiny_model());
  CHECK(model.layers == std::vector<std::int32_t>{0, 1, 1});
  CHECK(model.blocks.size() == 2);
  CHECK(model.kv.kind == KvKind::per_head);
  CHECK(model.layer(2).moe()->expected_ffn_k == 2);
  // Embeddings 2 x 100 x 64; attention (2 x 128 + 64) x 64 a layer; dense 3 x 64 x 96; per MoE
  // layer router 8 x 64, shared and routed experts 3 x 64 x 32 each; norms 2 x 64 a layer and 64.
  const double expected =
      2 * 6400 + 3 * 320 * 64 + 3 * 64 * 96 + 2 * (8 * 64 + (2 + 8) * 3 * 64 * 32) + 7 * 64;
  CHECK(count_parameters(model).total() == expected);
}

TEST_CASE("mistakes name file, pointer and remedy", "[models][unit]") {
  const std::string moe = "/blocks/1/ffn/0";
  const std::vector<std::tuple<std::string, Json, std::string>> cases{
      {moe + "/router/top_k", 9,
       "m.json#/blocks/1/ffn/0/router/top_k: 9 is more than the 8 experts that can be selected"},
      {moe + "/router/top_k", 0,
       "m.json#/blocks/1/ffn/0/router/top_k: 0 is out of range; allowed: 1 to 65535"},
      {moe + "/router/groups", 3,
       "m.json#/blocks/1/ffn/0/router/groups: 3 does not divide the 8 experts that can be "
       "selected"},
      {moe + "/router/top_groups", 2,
       "m.json#/blocks/1/ffn/0/router/top_groups: 2 is out of range; allowed: 1 to 1"},
      {moe + "/router",
       {{"top_k", 3}, {"groups", 4}, {"top_groups", 1}},
       "m.json#/blocks/1/ffn/0/router/top_k: 3 is more than the 2 experts that can be selected"},
      {moe + "/router",
       {{"top_k", 2}, {"groups", 4}, {"per_group_k", 1}},
       "m.json#/blocks/1/ffn/0/router/per_group_k: 1 in each of 4 groups is not top_k 2 "
       "(top_groups must be groups)"},
      {moe + "/experts/0/count", -1,
       "m.json#/blocks/1/ffn/0/experts/0/count: -1 is out of range; allowed: 1 to 65535"},
      {moe + "/experts/0/kind", "fast",
       "m.json#/blocks/1/ffn/0/experts/0/kind: \"fast\" is not one of: ffn, zero, copy, const, "
       "null"},
      {moe + "/experts/0",
       {{"count", 8}, {"kind", "zero"}},
       "m.json#/blocks/1/ffn/0/experts/0: the first set must be the experts of kind ffn"},
      {moe + "/expected_ffn_k", 1,
       "m.json#/blocks/1/ffn/0/expected_ffn_k: must be top_k 2: every selectable expert is an FFN"},
      {moe + "/topk", 2, "m.json#/blocks/1/ffn/0/topk: unknown key; known here: "},
      {moe + "/shortcut",
       {{"adds_after_blocks", 2}},
       "m.json#/blocks: layer 1 has a shortcut that adds its output behind the last block"},
      {"/blocks/0/attention/kv_heads", 3,
       "m.json#/blocks/0/attention/kv_heads: 3 does not divide heads 8"},
      {"/blocks/0/attention/kind", "mha",
       "m.json#/blocks/0/attention/kv_heads: 2 differs from heads 8; that is kind \"gqa\""},
      {"/blocks/0/attention/kind", "flash",
       "m.json#/blocks/0/attention/kind: \"flash\" is not one of: mha, gqa, mla, linear"},
      {"/blocks/0/attention/heads", -8,
       "m.json#/blocks/0/attention/heads: -8 is out of range; allowed: 1 to 16384"},
      {"/blocks/0/cross_attention",
       {{"kind", "mha"}, {"heads", 8}, {"head_dim", 16}},
       "m.json#/blocks: layer 0 has cross_attention, but there is no encoder block"},
      {"/blocks/1/stack", "encoder",
       "m.json#/blocks: layer 1 is an encoder block after a decoder block; encoders first"},
      {"/blocks/0/ffn", 1, "m.json#/blocks/0/ffn: a list of 1 to 16 entries"},
      {"/blocks/0",
       {{"attention", {{"kind", "none"}}}, {"ffn", Json::array()}},
       "m.json#/blocks/0/ffn: a list of 1 to 16 entries"},
      {"/mtp_layers", 1, "m.json#/mtp_layers: 1 is more than the 0 multi-token-prediction modules"},
      {"/blocks/0/ffn/0/kind", "sparse",
       "m.json#/blocks/0/ffn/0/kind: \"sparse\" is not one of: dense, moe"},
      {"/blocks/1/repeat", 1000000000000,
       "m.json#/blocks/1/repeat: 1000000000000 is out of range; allowed: 1 to 10000"},
      {"/blocks/1/repeat", 10000,
       "m.json#/blocks/1/repeat: 10000 makes more than 10000 blocks in all"},
      {"/blocks", Json::array(), "m.json#/blocks: a list of 1 to 10000 entries"},
      {"/kv",
       {{"kind", "latent"}},
       "m.json#/kv/kind: \"latent\" does not fit the blocks, whose attention keeps \"per_head\""},
      {"/kv", {{"kind", "paged"}}, "m.json#/kv/kind: \"paged\" is not one of: auto, none"},
      {"/attention",
       {{"kind", "mha"}, {"heads", 8}, {"head_dim", 16}},
       "m.json#/attention: is not used: every block has its own; remove it"},
      {"/hidden", "64", "m.json#/hidden: \"64\" is not a whole number (1 to 1048576)"},
      {"/hiden", 64, "m.json#/hiden: unknown key; known here: "},
      {"/schema", 2, "m.json#/schema: 2 is out of range; allowed: 1 to 1"},
  };
  for (const auto& [pointer, value, expected] : cases) {
    CAPTURE(pointer, value.dump());
    CHECK_THAT(complaint(pointer, value), Catch::StartsWith(expected));
  }
  CHECK(without("", "hidden") == "m.json#/hidden: is missing; a whole number is needed");
  CHECK_THAT(without("/blocks/0", "attention"),
             Catch::StartsWith("m.json#/blocks/0/attention: is missing"));
  CHECK_THAT(without("/blocks/1/ffn/0", "experts"),
             Catch::StartsWith("m.json#/blocks/1/ffn/0/experts: is missing"));
  CHECK_THAT(without("/blocks/1/ffn/0", "router"),
             Catch::StartsWith("m.json#/blocks/1/ffn/0/router: is missing"));
}

TEST_CASE("blocks that repeat together count together", "[models][unit]") {
  Json document = test::tiny_model();
  document["blocks"] = Json::array({{{"repeat", 5000}, {"blocks", document["blocks"]}}});
  document["blocks"][0]["blocks"][1].erase("repeat");
  const MoeModel model = test::model_of(document);
  CHECK(model.layers.size() == 10000);
  CHECK(model.layers[9999] == 1);
  document["blocks"][0]["repeat"] = 5001;
  CHECK_THROWS_WITH(test::model_of(document),
                    "m.json#/blocks/0/repeat: 5001 makes more than 10000 blocks in all");
}

TEST_CASE("groups and free experts exclude each other", "[models][unit]") {
  Json document = test::tiny_model();
  Json& moe = document["blocks"][1]["ffn"][0];
  moe["experts"].push_back({{"count", 8}, {"kind", "null"}});
  CHECK(test::model_of(document).layer(1).moe()->expected_ffn_k == 1);  // 2 x 8 / 16
  moe["router"]["groups"] = 2;
  CHECK_THROWS_WITH(test::model_of(document),
                    Catch::EndsWith("experts that cost nothing belong to no group; groups must "
                                    "be 1"));
}

TEST_CASE("layers that differ have no common routing shape", "[models][unit]") {
  Json document = test::tiny_model();
  Json other = document["blocks"][1];
  other["ffn"][0]["router"]["top_k"] = 4;
  document["blocks"].push_back(other);
  const MoeModel model = test::model_of(document);
  CHECK_THROWS_WITH(routing_shape(model), Catch::StartsWith("m.json#: the MoE layers of tiny"));
}

TEST_CASE("a chain routes once per round", "[models][unit]") {
  Json document = test::tiny_model();
  document["blocks"][1]["ffn"][0]["rounds"] = 3;
  const MoeModel model = test::model_of(document);
  CHECK(routing_shape(model).layers == 2 * 3);
  const ParameterCounts counts = count_parameters(model);
  CHECK(counts.router == 2 * 3 * 8 * 64);               // a router per round
  CHECK(counts.routed_experts == 2 * 8 * 3 * 64 * 32);  // the same experts
  CHECK(counts.active_routed_mean == 2 * 3 * 2 * 3 * 64 * 32);
}

TEST_CASE("linear attention keeps a state, not a cache", "[models][unit]") {
  Json document = test::tiny_model();
  document["blocks"] = Json::parse(
      R"([{"repeat": 3, "attention": {"kind": "linear", "value_heads": 8, "key_heads": 4,
                                      "key_dim": 16, "value_dim": 24, "conv_width": 4},
           "ffn": [{"kind": "dense", "inter": 96}]}])");
  const MoeModel model = test::model_of(document);
  CHECK(model.kv.kind == KvKind::state);
  CHECK(kv_bytes_per_token(model, DType::bf16).si() == 0);
  // fp32 state of 8 heads x 16 x 24, and 4 bf16 rows of q, k (2 x 4 x 16) and v (8 x 24).
  CHECK(state_bytes_per_sequence(model).si() ==
        3 * (8 * 16 * 24 * 4 + 4 * (2 * 4 * 16 + 8 * 24) * 2));
  // q, k: 128 columns; v and output gate: 192 each; decay and step: 8 each; o: 192 x 64.
  CHECK(count_parameters(model).attention == 3 * 64 * (128 + 2 * 192 + 16 + 192));
}

TEST_CASE("bits per weight win over the scenario's format", "[models][unit]") {
  Json document = test::tiny_model();
  document["blocks"][1]["ffn"][0]["experts"][0]["bits"] = 1.6;  // ternary experts
  document["blocks"][1]["ffn"][0]["shared"][0]["bits"] = 4;
  const MoeModel model = test::model_of(document);
  const FfnBytes bytes = weight_bytes(model, Quantisation{}).blocks.at(1).ffn.at(0);
  CHECK(bytes.routed_expert.si() == Approx(3 * 64 * 32 * 0.2));
  CHECK(bytes.shared.si() == 2 * 3 * 64 * 32 / 2);
  CHECK(bytes.router.si() == 8 * 64 * 2);
}

TEST_CASE("the effective model reads back to itself", "[models][property]") {
  for (const std::string& name : catalog_names(test::catalog_dirs())) {
    Json once;
    Json twice;
    const MoeModel first = load_model(name, "s.json#/model", test::catalog_dirs(), &once);
    const MoeModel second = load_model(once, "s.json#/model", test::catalog_dirs(), &twice);
    CAPTURE(name);
    CHECK(once == twice);
    CHECK(first.layers == second.layers);
    CHECK(count_parameters(first).total() == count_parameters(second).total());
    CHECK(once["kv"]["kind"] == name_of(first.kv.kind));
    CHECK_FALSE(first.sources.empty());
    CHECK_FALSE(first.date.empty());
  }
}

TEST_CASE("references that lead nowhere", "[models][unit]") {
  const auto load = [](const Json& value) {
    return load_model(value, "s.json#/model", test::catalog_dirs());
  };
  CHECK_THROWS_WITH(load("deepseek-v4"),
                    Catch::StartsWith("s.json#/model: \"deepseek-v4\" is not in the catalog; it "
                                      "has: dbrx, deepseek-moe-16b, "));
  CHECK_THROWS_AS(load("no/such/file.json"), ConfigError);
  CHECK_THROWS_AS(load(5), ConfigError);
}

namespace {

// All pointers of a document, the root's included.
void collect(const Json& value, const Json::json_pointer& at,
             std::vector<Json::json_pointer>& out) {
  out.push_back(at);
  if (value.is_object()) {
    for (const auto& [key, child] : value.items()) {
      collect(child, at / key, out);
    }
  } else if (value.is_array()) {
    for (std::size_t i = 0; i < value.size(); ++i) {
      collect(value[i], at / i, out);
    }
  }
}

Json odd_value(Rng& rng) {
  const std::vector<Json> values{nullptr,
                                 true,
                                 -1,
                                 0,
                                 1,
                                 2,
                                 3,
                                 65536,
                                 1e300,
                                 0.5,
                                 "x",
                                 "",
                                 Json::array(),
                                 Json::object(),
                                 1LL << 62,
                                 7,
                                 "zero",
                                 "mla",
                                 "linear",
                                 "encoder"};
  return values[rng.below(values.size())];
}

}  // namespace

TEST_CASE("a damaged model is read or refused, never half-used", "[models][property]") {
  const RngStreams streams(20);
  int refused = 0;
  int read = 0;
  const auto names = catalog_names(test::catalog_dirs());
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    Rng rng = streams.stream("damage", seed);
    Json document;
    static_cast<void>(
        load_model(names[seed % names.size()], "s#", test::catalog_dirs(), &document));
    std::vector<Json::json_pointer> pointers;
    collect(document, Json::json_pointer(), pointers);
    document[pointers[rng.below(pointers.size())]] = odd_value(rng);
    CAPTURE(seed);
    try {
      Json effective;
      const MoeModel model = parse_model(document, "m#", &effective);
      CHECK(model.layers.size() <= 10000);
      CHECK(std::isfinite(count_parameters(model).total()));
      // Chains of experts use the same weights several times.
      const bool once = std::ranges::all_of(model.blocks, [](const Block& block) {
        return block.moe() == nullptr || block.moe()->rounds == 1;
      });
      const ParameterCounts counts = count_parameters(model);
      CHECK((!once || counts.total() >= counts.active() * (1 - 1e-6)));
      Json again;
      static_cast<void>(parse_model(effective, "m#", &again));
      CHECK(again == effective);
      ++read;
    } catch (const ConfigError&) {
      ++refused;
    }
  }
  CHECK(refused > 500);
  CHECK(read > 100);
}
