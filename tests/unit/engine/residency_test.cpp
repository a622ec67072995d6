// Tokens that stay with their last expert, against a walk that follows every token by hand.
#include <catch2/catch.hpp>
#include <numeric>
#include <set>

#include "sim/core/error.h"
#include "sim/core/rng.h"
#include "sim/engine/results/metrics.h"
#include "sim/engine/step_draw.h"
#include "tests/unit/engine/small_scenario.h"

using namespace moesim;
using moesim::testing::Ran;
using moesim::testing::simulation_of;
using moesim::testing::small_scenario;

namespace {

constexpr int k_layers = 5;
constexpr int k_experts = 16;
constexpr int k_ranks = 8;
constexpr int k_requests = 24;

// A small GPT with MoE layers on 2 nodes of 4 GPUs.
nlohmann::json small_gpt(int top_k, const std::string& residency) {
  const nlohmann::json moe{
      {"kind", "moe"},
      {"experts", {{{"count", k_experts}, {"kind", "ffn"}, {"inter", 1024}, {"matrices", 2}}}},
      {"router", {{"top_k", top_k}}}};
  const nlohmann::json model{{"schema", 1},
                             {"name", "small-gpt"},
                             {"sources", {"test"}},
                             {"date", "2024-01-01"},
                             {"hidden", 256},
                             {"vocabulary", 1000},
                             {"tied_embeddings", true},
                             {"attention", {{"kind", "mha"}, {"heads", 4}, {"head_dim", 64}}},
                             {"blocks", {{{"repeat", k_layers}, {"ffn", {moe}}}}}};
  return {
      {"hardware", {{"cluster", "a100-8x-ib200"}, {"nodes", 2}, {"devices", 4}}},
      {"model", model},
      {"workload",
       {{"kind", "decode"},
        {"requests_per_rank", k_requests},
        {"context", 300},
        {"routing", "power_law:0.8"}}},
      {"parallelism", {{"attention", {{"dp", k_ranks}}}, {"experts", {{"ep", k_ranks}}}}},
      {"policy",
       {{"all_to_all", "expert_copies"}, {"kernels", "trtllm"}, {"token_residency", residency}}}};
}

// What the first step of the scenario must send, token by token: no replicas, experts contiguous,
// the first pick keeps the token (power-law picks have no order and no weights).
struct Walk {
  double pairs_away = 0.0;    // pairs computed on another rank than where the token rests
  double results_back = 0.0;  // of other picks, to another rank
  double ranks_away = 0.0;    // the same, but once per rank
  double ranks_back = 0.0;
};

Walk walk(const Simulation& simulation, bool stays) {
  const System& system = simulation.system();
  const auto parts = draw_batch(*system.routing(), system.batch(0), system.ranks(), {1},
                                mix64(system.scenario().seed), 1);
  const RoutedTokens& tokens = parts.front().front().tokens;
  const auto k = static_cast<std::size_t>(tokens.top_k);
  Walk sums;
  for (std::size_t t = 0; t < static_cast<std::size_t>(tokens.tokens()); ++t) {
    const int home = static_cast<int>(t) / k_requests;
    int rank = home;
    for (int l = 0; l < tokens.layers; ++l) {
      const auto picks = tokens.layer(l).subspan(t * k, k);
      const auto rank_of = [](int expert) { return expert / (k_experts / k_ranks); };
      const int next = stays ? rank_of(picks[0]) : home;
      std::set<int> out;
      std::set<int> back;
      for (std::size_t i = 0; i < k; ++i) {
        const int computing = rank_of(picks[i]);
        sums.pairs_away += computing != rank ? 1 : 0;
        out.insert(computing);
        if (!stays || i > 0) {
          sums.results_back += computing != next ? 1 : 0;
          back.insert(computing);
        }
      }
      out.erase(rank);
      back.erase(next);
      sums.ranks_away += static_cast<double>(out.size());
      sums.ranks_back += static_cast<double>(back.size());
      rank = next;
    }
  }
  return sums;
}

double tokens_sent(const LoweredStep& step) {
  return std::accumulate(step.moe_layers.begin(), step.moe_layers.end(), 0.0,
                         [](double sum, const LayerLoad& l) { return sum + l.tokens_sent; });
}

double total_pairs(const LoweredStep& step) {
  return std::accumulate(step.moe_layers.begin(), step.moe_layers.end(), 0.0,
                         [](double sum, const LayerLoad& l) { return sum + l.pairs; });
}

constexpr double k_all_tokens = k_ranks * k_requests;
constexpr double k_gather = k_all_tokens * (k_ranks - 1);

}  // namespace

// ExFlow's counting rule: dispatch and combine move 2 G N L p tokens; staying moves G N L p* and
// gathers the new tokens, G N to each of the others (the published G N G counts the own copy too).
TEST_CASE("one expert per token: traffic follows the published count", "[engine][property]") {
  for (const std::uint64_t seed : {1U, 2U, 3U}) {
    CAPTURE(seed);
    auto home = small_gpt(1, "home");
    auto last = small_gpt(1, "last_expert");
    home["seed"] = seed;
    last["seed"] = seed;
    const Ran at_home(home);
    const Ran stays(last);
    const double p = walk(at_home.simulation, false).pairs_away / (k_all_tokens * k_layers);
    const double p_stays = walk(stays.simulation, true).pairs_away / (k_all_tokens * k_layers);
    CHECK(at_home.step.lowered.token_transfers == Approx(2 * k_all_tokens * k_layers * p));
    CHECK(stays.step.lowered.token_transfers ==
          Approx(k_all_tokens * (k_layers * p_stays + k_ranks) - k_all_tokens));
    CHECK(tokens_sent(stays.step.lowered) == Approx(k_all_tokens * k_layers * p_stays));
  }
}

TEST_CASE("several experts per token: the others' results follow it", "[engine][property]") {
  const int top_k = GENERATE(2, 4);
  const bool once_per_rank = GENERATE(false, true);
  CAPTURE(top_k, once_per_rank);
  for (const bool stays : {false, true}) {
    auto scenario = small_gpt(top_k, stays ? "last_expert" : "home");
    scenario["policy"]["all_to_all"] = once_per_rank ? "rank_dedup" : "expert_copies";
    const Ran run(scenario);
    const Walk expected = walk(run.simulation, stays);
    const double gathered = stays ? k_gather : 0.0;
    if (!once_per_rank) {
      CHECK(run.step.lowered.token_transfers ==
            expected.pairs_away + expected.results_back + gathered);
    } else {
      CHECK(run.step.lowered.token_transfers ==
            expected.ranks_away + expected.ranks_back + gathered);
    }
  }
}

// No token is lost, and no kernel's FLOPs depend on where its tokens rest.
TEST_CASE("resident tokens are computed once, wherever they rest", "[engine][property]") {
  const int redundant = GENERATE(0, 8);
  const std::string exchange =
      GENERATE("deepep_low_latency", "deepep_normal", "rank_dedup", "expert_copies");
  CAPTURE(redundant, exchange);
  const auto run = [&](const std::string& residency) {
    auto scenario = small_gpt(2, residency);
    scenario["placement"] = {{"policy", "round_robin"}, {"redundant_experts", redundant}};
    scenario["policy"]["all_to_all"] = exchange;
    return Ran(scenario);
  };
  const Ran home = run("home");
  const Ran last = run("last_expert");
  CHECK(total_pairs(last.step.lowered) == k_all_tokens * k_layers * 2);
  CHECK(last.step.lowered.flops == Approx(home.step.lowered.flops));
  for (std::size_t l = 0; l < home.step.lowered.moe_layers.size(); ++l) {
    // Replicas are chosen by source, so only without them every rank's load is the same.
    if (redundant == 0) {
      CHECK(last.step.lowered.moe_layers[l].max_over_mean ==
            home.step.lowered.moe_layers[l].max_over_mean);
    }
  }
}

TEST_CASE("every rank holds the context of all", "[engine][unit]") {
  const Ran home(small_gpt(1, "home"));
  const Ran last(small_gpt(1, "last_expert"));
  CHECK(last.memory().kv_cache.si() == k_ranks * home.memory().kv_cache.si());
  CHECK(last.memory().activations.si() >= home.memory().activations.si());
}

TEST_CASE("expert groups keep their own resident tokens", "[engine][property]") {
  auto scenario = small_gpt(1, "last_expert");
  scenario["parallelism"]["experts"] = {{"ep", 4}, {"edp", 2}};
  const Ran run(scenario);
  CHECK(total_pairs(run.step.lowered) == k_all_tokens * k_layers);
  for (const LayerLoad& layer : run.step.lowered.moe_layers) {
    CHECK(layer.tokens_sent_far == 0);  // a group sits on one node
  }
}

TEST_CASE("residency is refused where it means nothing", "[engine][unit]") {
  auto prefill = small_gpt(1, "last_expert");
  prefill["workload"] = {{"kind", "prefill"}, {"tokens_per_rank", 64}};
  CHECK_THROWS_WITH(simulation_of(prefill),
                    Catch::Contains("/policy/token_residency") && Catch::Contains("decode"));
  auto tokenless = small_gpt(1, "last_expert");
  tokenless["run"] = {{"routing", "expected"}};
  CHECK_THROWS_WITH(simulation_of(tokenless), Catch::Contains("/run/routing"));
  auto sliced = small_gpt(1, "last_expert");
  sliced["parallelism"] = {{"attention", {{"tp", 2}, {"dp", 4}}},
                           {"experts", {{"etp", 2}, {"ep", 4}}}};
  CHECK_THROWS_WITH(simulation_of(sliced), Catch::Contains("attention tp 1"));
  auto misspelt = small_gpt(1, "last");
  CHECK_THROWS_WITH(simulation_of(misspelt), Catch::Contains("home, last_expert"));
}
