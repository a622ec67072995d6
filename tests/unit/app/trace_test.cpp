#include "sim/app/trace.h"

#include <algorithm>
#include <filesystem>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "sim/app/catalog.h"
#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/core/output_file.h"
#include "tests/support/temporary_folder.h"

using namespace moesim;

namespace {

const std::vector<std::string>& profiles() {
  static const auto folders = catalog_folders({MOESIM_SOURCE_DIR}).routing_profiles;
  return folders;
}

std::string generated(const test::TemporaryFolder& folder, std::int64_t tokens) {
  const std::string path = folder.file("t.moetrace");
  trace_generate({.profile = "gpt-moe-16", .profiles = profiles(), .tokens = tokens, .out = path});
  return path;
}

}  // namespace

TEST_CASE("a generated trace holds what was asked for, whatever the threads") {
  const test::TemporaryFolder folder;
  const std::string path = generated(folder, 2000);
  const TraceInfo info = trace_info(path);
  CHECK(info.items == 2000);
  CHECK(info.shape.experts == 16);
  CHECK(to_json(info).at("tokens") == 2000);
  CHECK(to_json(info).at("kind") == "tokens");
  const std::string again = folder.file("again.moetrace");
  const auto generate = [&](std::uint64_t seed, int threads) {
    trace_generate({.profile = "gpt-moe-16",
                    .profiles = profiles(),
                    .tokens = 2000,
                    .out = again,
                    .seed = seed,
                    .threads = threads});
    return read_text_file(again);
  };
  CHECK(generate(1, 2) == read_text_file(path));
  CHECK(generate(2, 1) != read_text_file(path));
}

TEST_CASE("statistics come with imbalance by batch size") {
  const test::TemporaryFolder folder;
  std::vector<double> shares;
  const TraceStatsResult stats =
      trace_stats({.path = generated(folder, 2000),
                   .progress = [&](double share) { shares.push_back(share); }});
  REQUIRE(stats.batches.size() > 1);
  // Few tokens cannot be spread evenly.
  CHECK(stats.batches.front().tokens < stats.batches.back().tokens);
  CHECK(stats.batches.front().random > stats.batches.back().random);
  CHECK(to_json(stats).at("rows").size() == stats.rows.size());
  CHECK(to_json(stats).at("rows").at(0).at("value") == stats.rows[0].value);
  CHECK_FALSE(shares.empty());
}

TEST_CASE("a profile is fitted to a trace, and generates", "[app][large]") {
  const test::TemporaryFolder folder;
  std::vector<double> shares;
  const TraceFitResult fit =
      trace_fit({.path = generated(folder, 500),
                 .name = "mine",
                 .date = "2026-11",
                 .profiles = profiles(),
                 .rounds = 1,
                 .progress = [&](double share) { shares.push_back(share); }});
  CHECK(shares == std::vector<double>{1.0});
  CHECK(fit.profile.name == "mine");
  CHECK(fit.misses.token_recall > 0.0);
  const std::string path = folder.file("mine.json");
  write_text_file(path, profile_text(fit.profile));
  CHECK(to_json(fit, path).at("profile") == path);
  CHECK(to_json(fit, path).at("rounds") == 1);
  CHECK(to_json(fit, path).at("token_recall_miss") == fit.misses.token_recall);
  trace_generate({.profile = path, .tokens = 100, .out = folder.file("like.moetrace")});
  CHECK(trace_info(folder.file("like.moetrace")).shape.experts == 16);
}

TEST_CASE("imported data is a trace like any other") {
  const test::TemporaryFolder folder;
  const std::string path =
      std::string(MOESIM_SHARED_DIR) + "/data/traces/fiddler_mixtral_popularity";
  if (!std::filesystem::exists(path)) {
    WARN("skipped: " << path << " is not there");
    return;
  }
  trace_import(
      {.family = "fiddler_mixtral_popularity", .path = path, .out = folder.file("i.moetrace")});
  const TraceInfo info = trace_info(folder.file("i.moetrace"));
  CHECK(info.shape.kind == TraceKind::loads);
  CHECK(info.shape.experts == 8);
  CHECK(to_json(info).at("windows") == info.items);
}

TEST_CASE("wrong traces and outputs are the caller's errors, and leave no file") {
  const test::TemporaryFolder folder;
  const std::string out = folder.file("out.moetrace");
  CHECK_THROWS_WITH(
      trace_generate({.profile = "gpt-moe-16", .profiles = profiles(), .tokens = 0, .out = out}),
      Catch::StartsWith("--tokens 0: is outside of 1 to "));
  CHECK_THROWS_AS(
      trace_generate({.profile = "nobody", .profiles = profiles(), .tokens = 1, .out = out}),
      ConfigError);
  CHECK_THROWS_WITH(trace_import({.family = "nobody", .path = folder.file("x"), .out = out}),
                    Catch::Contains(std::string(trace_families().front().first)));
  const std::string path = generated(folder, 200);
  CHECK_THROWS_WITH(trace_import({.family = "step_batches", .path = path, .out = path}),
                    Catch::Contains("would replace what is read"));
  CHECK_THROWS_WITH(trace_fit({.path = path, .profiles = profiles(), .rounds = 0}),
                    Catch::StartsWith("--rounds 0"));
  CHECK_THROWS_AS(trace_stats({.path = folder.file("missing.moetrace")}), ConfigError);
  CHECK_FALSE(std::filesystem::exists(out));
}
