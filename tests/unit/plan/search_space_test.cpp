#include "sim/plan/search_space.h"

#include <catch2/catch.hpp>
#include <numeric>
#include <set>

#include "sim/core/error.h"
#include "tests/unit/plan/plan_support.h"

namespace moesim::test {
namespace {

using Catch::Matchers::Contains;
using Json = nlohmann::json;

TEST_CASE("rank maps are all cuts of the devices that the model admits", "[plan]") {
  const MoeModel model = small_model();
  const PlanProblem problem{
      .model = model, .devices = 16, .node_devices = 16, .global_batch = 32, .sequence = 4096};
  Reasons out;
  const auto maps = legal_rank_maps(problem, {}, out);
  std::set<std::vector<int>> seen;
  for (const Parallelism& p : maps) {
    CHECK(p.ranks() == 16);
    CHECK(p.expert_tp * p.expert_ep * p.expert_dp == p.ranks_per_stage());
    CHECK(8 % p.attention_tp == 0);  // heads
    CHECK(8 % p.expert_ep == 0);     // experts
    CHECK(p.pp <= 8);                // layers
    CHECK(seen.insert({p.attention_tp, p.attention_cp, p.pp, p.expert_tp, p.expert_ep}).second);
  }
  // Counted apart: a power of two is cut into parts by exponents; tp, cp, pp, dp share 4 of them,
  // tp and pp have at most 3; ep and etp share the rest of a stage, ep at most 3.
  std::int64_t legal = 0;
  std::int64_t all = 0;
  for (int tp = 0; tp <= 4; ++tp) {
    for (int cp = 0; tp + cp <= 4; ++cp) {
      for (int pp = 0; tp + cp + pp <= 4; ++pp) {
        for (int ep = 0; ep <= 4 - pp; ++ep) {
          for (int etp = 0; ep + etp <= 4 - pp; ++etp) {
            ++all;
            legal += tp <= 3 && pp <= 3 && ep <= 3 ? 1 : 0;
          }
        }
      }
    }
  }
  CHECK(std::ssize(maps) == legal);
  std::int64_t rejected = 0;
  for (const auto& [why, count] : out) {
    rejected += count;
  }
  CHECK(legal + rejected == all);
  CHECK(out.contains("attention heads or widths over tp"));
  CHECK(out.contains("experts over ep"));
  CHECK(out.contains("layers over pp"));
}

TEST_CASE("tensor parallelism stays in a node, expert groups sit evenly", "[plan]") {
  const MoeModel model = small_model();
  const PlanProblem problem{
      .model = model, .devices = 48, .node_devices = 6, .global_batch = 48, .sequence = 4096};
  Reasons out;
  for (const Parallelism& p : legal_rank_maps(problem, {}, out)) {
    CHECK(std::max(p.attention_tp, p.expert_tp) <= 6);
    const int group = p.expert_ep * p.expert_tp;
    CHECK((6 % group == 0 || (group % 6 == 0 && p.ranks_per_stage() % 6 == 0)));
  }
  CHECK(out.contains("tp or etp larger than a node"));
  CHECK(out.contains("expert groups do not sit evenly on nodes"));
}

TEST_CASE("batches and sequences that do not divide are out", "[plan]") {
  const MoeModel model = small_model();
  const PlanProblem problem{
      .model = model, .devices = 16, .node_devices = 16, .global_batch = 4, .sequence = 4};
  Reasons out;
  for (const Parallelism& p : legal_rank_maps(problem, {}, out)) {
    CHECK(p.attention_dp <= 4);
    CHECK(p.attention_tp * p.attention_cp * (p.attention_cp > 1 ? 2 : 1) <= 4);
  }
  CHECK(out.contains("global batch over dp"));
  CHECK(out.contains("sequence over cp and tp"));
}

TEST_CASE("layouts come with what goes with their map", "[plan]") {
  const MoeModel model = small_model();
  const PlanProblem problem{
      .model = model, .devices = 16, .node_devices = 16, .global_batch = 32, .sequence = 4096};
  Reasons out;
  const auto layouts = legal_layouts(problem, {}, legal_rank_maps(problem, {}, out));
  std::set<std::string> names;
  bool interleaved = false;
  for (const TrainLayout& l : layouts) {
    const std::int64_t batches = micro_batches(l, 32);
    CHECK(batches > 0);
    CHECK(l.micro_batch <= 8);
    CHECK((l.pipeline == "interleaved") == (l.parallelism.vpp > 1));
    CHECK(8 % (l.parallelism.pp * l.parallelism.vpp) == 0);
    CHECK((l.pipeline != "interleaved" || batches % l.parallelism.pp == 0));
    CHECK((l.zero < 2 || l.parallelism.pp == 1));
    CHECK(names.insert(describe(l)).second);
    interleaved = interleaved || l.parallelism.vpp == 4;
  }
  CHECK(interleaved);
  // One rank, one sequence: nothing to choose but recomputation.
  const PlanProblem one{
      .model = model, .devices = 1, .node_devices = 1, .global_batch = 1, .sequence = 4096};
  CHECK(legal_layouts(one, {}, legal_rank_maps(one, {}, out)).size() == 3);
}

TEST_CASE("limits keep what they name", "[plan]") {
  const MoeModel model = small_model();
  const PlanProblem problem{
      .model = model, .devices = 16, .node_devices = 16, .global_batch = 32, .sequence = 4096};
  const SearchLimits limits = parse_search(
      Json::parse(R"({"search": {"tp": [2], "pp": [4, 2], "vpp": [1], "ep": [8], "etp": [1],
                      "micro_batch": [16], "zero": [1], "recompute": ["full"],
                      "pipeline": ["1f1b", "zb_h1"], "simulations": 7}})"),
      "test#");
  CHECK(limits.simulations == 7);
  Reasons out;
  const auto layouts = legal_layouts(problem, limits, legal_rank_maps(problem, limits, out));
  // pp 2 leaves dp 4 (8 sequences each, none of 16) or cp; so all have cp > 1.
  REQUIRE_FALSE(layouts.empty());
  for (const TrainLayout& l : layouts) {
    CHECK(l.parallelism.attention_tp == 2);
    CHECK(l.micro_batch == 16);
    CHECK(l.recompute == Recompute::full);
    CHECK(l.zero == 1);
  }
}

TEST_CASE("wrong limits name what would be right", "[plan]") {
  const auto parse = [](const char* text) { return parse_search(Json::parse(text), "p.json#"); };
  CHECK_THROWS_WITH(parse(R"({"search": {"tpp": [2]}})"), Contains("p.json#/search/tpp"));
  CHECK_THROWS_WITH(parse(R"({"search": {"tpp": [2]}})"), Contains("cp, ep, etp, micro_batch"));
  CHECK_THROWS_WITH(parse(R"({"search": {"tp": [0]}})"), Contains("p.json#/search/tp"));
  CHECK_THROWS_WITH(parse(R"({"search": {"recompute": ["half"]}})"),
                    Contains("none, selective, full"));
  CHECK_THROWS_WITH(parse(R"({"search": {"pipeline": ["2f2b"]}})"), Contains("1f1b"));
  CHECK_THROWS_WITH(parse(R"({"search": []})"), Contains("p.json#/search"));
}

TEST_CASE("a layout replaces the scenario's own and leaves the rest alone", "[plan]") {
  const Json scenario = Json::parse(R"({
    "model": "m", "search": {"tp": [1]},
    "workload": {"kind": "train", "recompute": {"kind": "selective", "modules": ["moe_act"]},
                 "optimizer": {"kind": "sgd"}},
    "parallelism": {"attention": {"tp": 8}, "sequence_parallel": false},
    "policy": {"pipeline": {"schedule": "1f1b", "layers": [3, 5]}, "kernels": "auto"}})");
  TrainLayout layout;
  layout.parallelism.pp = 2;
  layout.recompute = Recompute::selective;
  layout.pipeline = "zb_h1";
  layout.zero = 0;
  const Json written = scenario_with(scenario, layout);
  CHECK_FALSE(written.contains("search"));
  CHECK(written["workload"]["recompute"] == scenario["workload"]["recompute"]);
  CHECK(written["workload"]["optimizer"] == Json{{"kind", "sgd"}, {"zero", 0}});
  CHECK(written["policy"]["pipeline"] == Json{{"schedule", "zb_h1"}, {"layers", {3, 5}}});
  CHECK(written["policy"]["kernels"] == "auto");
  CHECK(written["parallelism"]["attention"]["tp"] == 1);
  CHECK_FALSE(written["parallelism"].contains("sequence_parallel"));
  for (const char* broken : {R"({"parallelism": 3})", R"({"policy": []})", R"({"workload": 1})",
                             R"({"workload": {"optimizer": "adam"}})"}) {
    CHECK(scenario_with(Json::parse(broken), layout) == Json::parse(broken));
  }
  layout.parallelism.pp = 4;
  layout.parallelism.attention_tp = 2;
  layout.recompute = Recompute::full;
  const Json other = scenario_with(scenario, layout);
  CHECK(other["policy"]["pipeline"] == "zb_h1");
  CHECK(other["workload"]["recompute"] == "full");
  CHECK(other["parallelism"]["sequence_parallel"] == false);
}

}  // namespace
}  // namespace moesim::test
