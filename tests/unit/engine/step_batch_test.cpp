// Batches whose ranks differ.
#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <map>
#include <numeric>

#include "sim/core/error.h"
#include "sim/core/rng.h"
#include "sim/engine/results/step_report.h"
#include "sim/engine/step_draw.h"
#include "tests/unit/engine/random_batch.h"
#include "tests/unit/engine/small_scenario.h"

using namespace moesim;
using moesim::testing::Ran;
using moesim::testing::random_batch;
using moesim::testing::simulation_of;
using moesim::testing::small_scenario;

namespace {

using Json = nlohmann::json;

Json decode(int count, int context) {
  return {{"phase", "decode"}, {"count", count}, {"context", context}};
}

Json prefill(int count, int new_tokens, int context) {
  return {{"phase", "prefill"}, {"count", count}, {"new_tokens", new_tokens}, {"context", context}};
}

Json with_batches(const Json& ranks) {
  Json scenario = small_scenario(static_cast<int>(ranks.size()));
  scenario["workload"] = {{"kind", "batches"}, {"ranks", ranks}, {"routing", "power_law:0.6"}};
  return scenario;
}

double total_pairs(const LoweredStep& step) {
  return std::accumulate(step.moe_layers.begin(), step.moe_layers.end(), 0.0,
                         [](double sum, const LayerLoad& l) { return sum + l.pairs; });
}

double busy_of(const Ran& run, int device) {
  return time_use(run.step.lowered, run.step.result)
      .devices[static_cast<std::size_t>(device)]
      .kernels_s;
}

}  // namespace

TEST_CASE("a batch is cut into parts of nearly equally many sequences", "[engine][unit]") {
  const std::vector<RankBatch> ranks{
      {{{.phase = Phase::decode, .count = 5, .new_tokens = 1, .context = 100}}},
      {},
      {{{.phase = Phase::prefill, .count = 1, .new_tokens = 64, .context = 64},
        {.phase = Phase::decode, .count = 2, .new_tokens = 1, .context = 7}}}};
  const StepBatch batch(ranks);
  CHECK(batch.tokens() == 5 + 64 + 2);
  CHECK(batch.output_tokens() == 8);
  CHECK(batch.decode_sequences() == 7);
  CHECK(batch.prefill_tokens() == 64);
  const auto parts = batch.split(2);
  CHECK(parts[0].rank(0).tokens() == 3);
  CHECK(parts[1].rank(0).tokens() == 2);
  CHECK(parts[0].tokens() + parts[1].tokens() == batch.tokens());
  CHECK(parts[1].rank(2).tokens() == 1);
  CHECK(parts[1].rank(1).tokens() == 0);
}

TEST_CASE("classes of single sequences are dealt out to the parts", "[engine][unit]") {
  RankBatch rank;
  for (int i = 0; i < 5; ++i) {
    rank.sequences.push_back({.count = i == 2 ? 4 : 1, .context = 100 + i});
  }
  const StepBatch batch(rank, 2);
  for (const int parts : {2, 3}) {
    std::vector<std::int64_t> counts;
    for (const StepBatch& part : batch.split(parts)) {
      counts.push_back(part.rank(0).count());
    }
    CHECK(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}) == 8);
    CHECK(std::ranges::is_sorted(counts, std::greater<>{}));
    CHECK(counts.front() - counts.back() <= 1);
  }
}

TEST_CASE("prompts that leave halves uneven are cut, a long one too", "[engine][unit]") {
  const auto halves = [](std::int64_t prompts, std::int64_t decoding) {
    RankBatch rank{{{.phase = Phase::prefill,
                     .count = prompts,
                     .new_tokens = 100,
                     .context = 300,
                     .last_chunk = true}}};
    if (decoding > 0) {
      rank.sequences.push_back({.count = decoding, .context = 40});
    }
    return StepBatch(rank, 1).split(2, BatchCut::balanced);
  };
  const auto one = halves(1, 0);
  const SequenceClass& first = one[0].rank(0).sequences.at(0);
  const SequenceClass& second = one[1].rank(0).sequences.at(0);
  CHECK(first.new_tokens == 50);
  CHECK(first.context == 250);
  CHECK_FALSE(first.last_chunk);
  CHECK(second.new_tokens == 50);
  CHECK(second.context == 300);
  CHECK(second.last_chunk);
  // Whole prompts where they are even enough.
  CHECK(halves(4, 0)[0].rank(0).sequences.size() == 1);
  CHECK(halves(51, 0)[0].rank(0).tokens() == 2600);
  // Of three, the middle one is cut; decoding sequences stay whole.
  const auto three = halves(3, 5);
  CHECK(three[0].prefill_tokens() == 150);
  CHECK(three[0].rank(0).sequences.size() == 3);
  CHECK(three[0].decode_sequences() + three[1].decode_sequences() == 5);
  CHECK(three[0].output_tokens() + three[1].output_tokens() == 3 + 5);
}

TEST_CASE("drawn micro-batches hold the tokens of the parts of the batch", "[engine][property]") {
  const Simulation simulation = simulation_of(small_scenario(4));
  const RankMap& ranks = simulation.system().ranks();
  for (std::uint64_t i = 0; i < 50; ++i) {
    const StepBatch batch = random_batch(i, 4);
    const int count = 2 + static_cast<int>(i % 2);
    const auto cut = static_cast<BatchCut>(i % 3);
    const auto drawn = draw_batch(*simulation.routing(), batch, ranks, {count, cut}, i, 1);
    const auto parts = batch.split(count, cut);
    for (std::size_t m = 0; m < parts.size(); ++m) {
      for (int r = 0; r < 4; ++r) {
        std::int64_t tokens = 0;
        for (const RoutedPart& part : drawn[m]) {
          tokens += part.layout.tokens_of(r);
        }
        REQUIRE(tokens == parts[m].rank(r).tokens());
      }
    }
  }
}

TEST_CASE("impossible sequences are refused", "[engine][unit]") {
  const auto batch_of = [](const SequenceClass& s) { return StepBatch(RankBatch{{s}}, 2); };
  CHECK_THROWS_AS(batch_of({.count = 0, .new_tokens = 1, .context = 1}), InvariantError);
  CHECK_THROWS_AS(batch_of({.count = 1, .new_tokens = 0, .context = 1}), InvariantError);
  CHECK_THROWS_AS(batch_of({.count = 1, .new_tokens = 8, .context = 7}), InvariantError);
}

TEST_CASE("a list of equal batches is the uniform workload", "[engine][property]") {
  const Ran uniform(small_scenario(4, 16));
  const Ran listed(
      with_batches({{decode(16, 512)}, {decode(16, 512)}, {decode(16, 512)}, {decode(16, 512)}}));
  CHECK(listed.step_s() == uniform.step_s());
  CHECK(listed.memory().total().si() == uniform.memory().total().si());
}

TEST_CASE("every token of unequal ranks finds its experts", "[engine][property]") {
  const Ran run(with_batches({{decode(16, 512), prefill(1, 100, 400)},
                              Json::array(),
                              {decode(3, 70)},
                              {prefill(2, 50, 50)}}));
  CHECK(total_pairs(run.step.lowered) == 26.0 * 6 * (16 + 100 + 3 + 100));
  // The idle rank computes experts for the others, and nothing of its own.
  CHECK(busy_of(run, 1) > 0);
  CHECK(busy_of(run, 1) < busy_of(run, 2));
  CHECK(busy_of(run, 2) < busy_of(run, 0));
  const StepReport report = step_report(run.simulation, {run.step_s()}, run.step);
  CHECK(report.output_tokens == 16 + 1 + 3 + 2);
  CHECK(report.prefill_tokens == 200);
}

TEST_CASE("a chunk is no output before its prompt ends", "[engine][unit]") {
  Json first = prefill(2, 64, 64);
  first["last_chunk"] = false;
  Json drafts = decode(10, 900);
  drafts["new_tokens"] = 3;
  const auto metrics_of = [](const Json& ranks) {
    const Ran run(with_batches(ranks));
    const StepReport report = step_report(run.simulation, {run.step_s()}, run.step);
    return std::pair(report.output_tokens, to_json(report, Json()).at("metrics"));
  };
  const auto [middle_tokens, middle] = metrics_of({{first}, {decode(4, 99)}});
  CHECK(middle_tokens == 4);
  CHECK_FALSE(middle.contains("ttft_s"));
  CHECK(middle.contains("input_tokens_per_s"));
  CHECK(middle.at("tpot_s") == middle.at("step_s"));
  const auto [last_tokens, last] = metrics_of({{first, prefill(3, 64, 128)}, {decode(4, 99)}});
  CHECK(last_tokens == 3 + 4);
  CHECK(last.contains("ttft_s"));
  // 30 tokens of 10 sequences and 2 of 2: 2.67 a step in the mean.
  const auto [draft_tokens, draft] = metrics_of({{drafts}, {decode(2, 99)}});
  CHECK(draft_tokens == 32);
  CHECK(draft.at("tpot_s").get<double>() == Approx(draft.at("step_s").get<double>() * 12 / 32));
  Json decoding = decode(1, 9);
  decoding["last_chunk"] = true;
  CHECK_THROWS_WITH(simulation_of(with_batches({{decoding}, Json::array()})),
                    Catch::Contains("/workload/ranks/0/0/last_chunk"));
}

TEST_CASE("whether a chunk is the last one changes no kernel", "[engine][unit]") {
  SequenceClass chunk{.phase = Phase::prefill, .count = 4, .new_tokens = 64, .context = 128};
  SequenceClass middle = chunk;
  middle.last_chunk = false;
  const auto both = RankBatch{{middle, chunk}}.attention();
  chunk.count = 8;
  const auto one = RankBatch{{chunk}}.attention();
  REQUIRE(both.size() == 1);
  CHECK(both[0].sequences == one[0].sequences);
  CHECK(both[0].query_len == one[0].query_len);
  CHECK(both[0].context == one[0].context);
}

// A placement rests on what all sequences choose: a quarter of these tokens decode at 100 keys,
// a quarter at 5,000, half of them are prompts' second pieces.
TEST_CASE("placement statistics have tokens of every class", "[engine][unit]") {
  const auto simulation = simulation_of(with_batches(
      {{decode(64, 100)}, {decode(64, 5000)}, {prefill(1, 96, 1096)}, {prefill(1, 32, 1032)}}));
  for (const std::int64_t wanted : {64, 256, 4096}) {
    const auto parts =
        statistics_batch(*simulation.routing(), simulation.system().first_batch(), wanted, 1, 1);
    std::map<std::pair<TokenPhase, bool>, std::int64_t> tokens;
    std::int64_t all = 0;
    for (const RoutedTokens& part : parts) {
      for (std::size_t t = 0; t < part.position.size(); ++t) {
        ++tokens[{part.phase[t], part.position[t] < 1000}];
        ++all;
      }
    }
    CAPTURE(wanted);
    CHECK(all == wanted);
    CHECK(tokens[{TokenPhase::decode, true}] == wanted / 4);
    CHECK(tokens[{TokenPhase::decode, false}] == wanted / 4);
    CHECK(tokens[{TokenPhase::prefill, false}] == wanted / 2);
  }
}

TEST_CASE("ranks of equal batches are of one kind", "[engine][unit]") {
  std::vector<RankBatch> ranks;
  for (int r = 0; r < 300; ++r) {
    ranks.push_back({{{.count = 1, .context = 100 + r % 3}, {.count = 2, .context = 7}}});
  }
  ranks.push_back({});
  const StepBatch batch(ranks);
  CHECK(batch.kinds().size() == 4);
  for (int r = 0; r < 300; ++r) {
    CHECK(batch.kind_of(r) == r % 3);  // numbered as they first appear
    CHECK(batch.rank(r).sequences.front().context == 100 + r % 3);
  }
  CHECK(batch.kind_of(300) == 3);
}

TEST_CASE("equal tokens with other contexts are other kernels", "[engine][unit]") {
  const Ran run(with_batches({{decode(16, 512)}, {decode(16, 4096)}}));
  CHECK(busy_of(run, 1) > 1.05 * busy_of(run, 0));
}

TEST_CASE("a later chunk of a prompt attends to the earlier ones", "[engine][unit]") {
  const Ran first(with_batches({{prefill(1, 512, 512)}, {prefill(1, 512, 512)}}));
  const Ran later(with_batches({{prefill(1, 512, 8192)}, {prefill(1, 512, 8192)}}));
  const auto attention = static_cast<std::size_t>(Category::attention);
  CHECK(breakdown(later.step.lowered, later.step.result)[attention] >
        1.1 * breakdown(first.step.lowered, first.step.result)[attention]);
  CHECK(later.memory().kv_cache > first.memory().kv_cache);
}

TEST_CASE("every new token of a decoding sequence has logits in memory", "[engine][unit]") {
  const auto of = [](int count, int new_tokens) {
    const Json rank{
        {{"phase", "decode"}, {"count", count}, {"new_tokens", new_tokens}, {"context", 512}}};
    return Ran(with_batches({rank, rank})).memory().activations.si();
  };
  CHECK(of(64, 8) > 0.9 * of(512, 1));
}

TEST_CASE("batches that do not fit the ranks are refused", "[engine][unit]") {
  auto scenario = with_batches({{decode(1, 9)}, {decode(1, 9)}});
  scenario["workload"]["ranks"].push_back(Json::array());
  CHECK_THROWS_WITH(simulation_of(scenario),
                    Catch::Contains("/workload/ranks") && Catch::Contains("3 ranks' batches"));
  CHECK_THROWS_WITH(simulation_of(with_batches({Json::array(), Json::array()})),
                    Catch::Contains("idle"));
  CHECK_THROWS_WITH(simulation_of(with_batches({{prefill(1, 10, 9)}, Json::array()})),
                    Catch::Contains("/workload/ranks/0/0/context"));
  auto twice = with_batches({{decode(1, 9)}, {decode(1, 9)}});
  twice["workload"]["file"] = "batches.json";
  CHECK_THROWS_WITH(simulation_of(twice), Catch::Contains("/workload/file"));
}

TEST_CASE("two micro-batches do the work of one batch", "[engine][property]") {
  auto scenario = small_scenario(8, 64);
  const Ran one(scenario);
  scenario["policy"]["overlap"] = "two_batch";
  const Ran two(scenario);
  CHECK(total_pairs(two.step.lowered) == total_pairs(one.step.lowered));
  CHECK(two.step.lowered.token_transfers == one.step.lowered.token_transfers);
  CHECK(two.step.lowered.flops == Approx(one.step.lowered.flops).epsilon(1e-9));
  // Each half touches every expert and reads its weights: memory traffic grows.
  CHECK(two.step.lowered.memory_bytes > one.step.lowered.memory_bytes);
  const auto hidden = [](const Ran& run) {
    return mean_device(run.step.lowered, run.step.result).hidden_communication_s;
  };
  CHECK(hidden(one) == 0.0);
  CHECK(hidden(two) > 0.0);
}

TEST_CASE("two batches hide nothing where there is only one", "[engine][property]") {
  // One request per rank cannot be cut, and no shared experts run beside its dispatch.
  auto alone = small_scenario(8, 1);
  alone["model"] = "qwen3-30b-a3b";
  const double serial = Ran(alone).step_s();
  alone["policy"]["overlap"] = "two_batch";
  CHECK(Ran(alone).step_s() == Approx(serial).epsilon(1e-9));
}

TEST_CASE("sequences listed one by one are the batch of their class", "[engine][unit]") {
  const auto step_of = [](const Json& rank) {
    return Ran(with_batches(Json::array({rank, rank, rank, rank}))).step_s();
  };
  const double whole = step_of(Json::array({decode(6, 500)}));
  Json listed = Json::array();
  Json spread = Json::array();
  for (int i = 0; i < 6; ++i) {
    listed.push_back(decode(1, 500));
    spread.push_back(decode(1, 250 + 100 * i));
  }
  CHECK(step_of(listed) == whole);
  // One kernel attends to all of them, at their mean context; tokens are other ones.
  CHECK(step_of(spread) == Approx(whole).epsilon(0.03));
}
