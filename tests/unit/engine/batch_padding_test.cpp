#include "sim/engine/batch_padding.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "small_scenario.h"

using namespace moesim;

namespace {

BatchPadding list(std::string_view name) {
  return {std::string(name), find_capture_list(name)->sizes};
}

}  // namespace

TEST_CASE("engines' captured sizes ascend and start at one", "[engine][unit]") {
  for (const CaptureList& captured : capture_lists()) {
    CAPTURE(captured.name);
    CHECK(captured.sizes.front() == 1);
    CHECK(std::ranges::is_sorted(captured.sizes, std::ranges::less_equal()));
    CHECK_FALSE(captured.source.empty());
  }
  CHECK(find_capture_list("somebody's") == nullptr);
}

TEST_CASE("a batch is filled up to the next captured size", "[engine][unit]") {
  CHECK(list("vllm").padded(129) == 136);
  CHECK(list("vllm").padded(257) == 272);
  CHECK(list("sglang").padded(9) == 12);
  CHECK(list("trtllm").padded(129) == 192);
  CHECK(list("trtllm").padded(3) == 4);
  CHECK(list("vllm").padded(128) == 128);
  CHECK(list("vllm").padded(513) == 513);  // no graph of that size: as it is
  CHECK(BatchPadding{}.padded(129) == 129);
}

TEST_CASE("padding has a token each and no past", "[engine][unit]") {
  RankBatch batch;
  batch.sequences = {{.phase = Phase::decode, .count = 129, .new_tokens = 1, .context = 4096}};
  const RankBatch filled = padded(batch, list("vllm"));
  CHECK(filled.tokens() == 136);
  CHECK(filled.cached_tokens() == batch.cached_tokens() + 7);
  CHECK(filled.attention().size() == 1);
  CHECK(padded(RankBatch{}, list("vllm")).sequences.empty());
  batch.sequences.push_back({.phase = Phase::prefill, .count = 1, .new_tokens = 5, .context = 5});
  CHECK(padded(batch, list("vllm")) == batch);  // not a captured step
}

TEST_CASE("a captured step runs at the captured size and says what that costs",
          "[simulation][unit]") {
  nlohmann::json scenario = testing::small_scenario(8, 17);
  const auto run = [&] {
    const testing::Ran ran(scenario);
    return std::pair(ran.step.lowered, ran.step_s());
  };
  const auto [captured, captured_s] = run();
  scenario["policy"]["batch_padding"] = "none";
  const auto [plain, plain_s] = run();
  scenario["policy"]["batch_padding"] = {16, 20};
  const auto [own, own_s] = run();
  for (const nlohmann::json& sizes : {nlohmann::json{4, 4}, nlohmann::json{8, 4}}) {
    auto bad = scenario;
    bad["policy"]["batch_padding"] = sizes;
    CHECK_THROWS_WITH(testing::simulation_of(bad), Catch::Matchers::Contains("ascending"));
  }
  scenario["policy"]["cuda_graphs"] = false;
  const auto [eager, eager_s] = run();
  CHECK(captured.padded_tokens == 8 * (24 - 17));
  CHECK(own.padded_tokens == 8 * (20 - 17));
  CHECK(captured.flops == plain.flops);  // only what was asked for is useful
  CHECK(captured_s >= plain_s);
  for (const LoweredStep* step : {&plain, &eager}) {
    CHECK(step->padded_tokens == 0);
    CHECK(step->padding_s == 0);
  }
  CHECK(eager_s == plain_s);
}
