#include <catch2/catch.hpp>

#include "sim/core/error.h"
#include "trace_support.h"
#include "workloads/trace/load_windows.h"

using namespace moesim;

TEST_CASE("windows of loads count every token's experts", "[workloads][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{6}));
  const test::TempFolder folder;
  const std::size_t count = 9000 + seed;  // several chunks, and a rest
  const RoutedTokens tokens = test::random_tokens(2, 20, 3, count, seed);
  test::write_tokens(folder.file("t.moetrace"), tokens);
  const TraceFile file(folder.file("t.moetrace"));
  for (const int windows : {1, 7}) {
    CAPTURE(seed, windows);
    const LoadTrace loads = load_windows(file.view(), windows, "t");
    REQUIRE(loads.windows.size() == static_cast<std::size_t>(windows));
    const std::size_t each = count / static_cast<std::size_t>(windows);
    for (std::size_t w = 0; w < loads.windows.size(); ++w) {
      std::vector<std::uint32_t> expected(2 * 20, 0);
      for (int l = 0; l < 2; ++l) {
        for (std::size_t i = w * each * 3; i < (w + 1) * each * 3; ++i) {
          ++expected[static_cast<std::size_t>(l) * 20 + tokens.layer(l)[i]];
        }
      }
      CHECK(loads.windows[w].tokens == each);
      CHECK(loads.windows[w].counts == expected);
    }
  }
  CHECK_THROWS_WITH(load_windows(file.view(), 10000, "t"), Catch::Contains("do not fill 10000"));
}

TEST_CASE("a load trace keeps its windows", "[workloads][unit]") {
  const test::TempFolder folder;
  LoadTrace trace;
  trace.shape = {.kind = TraceKind::loads, .layers = 1, .experts = 2, .top_k = 1};
  trace.windows = {{.tokens = 3, .counts = {1, 2}, .pairs = {}},
                   {.tokens = 4, .counts = {4, 0}, .pairs = {}}};
  write_load_trace(folder.file("l.moetrace"), trace);
  const TraceFile file(folder.file("l.moetrace"));
  const LoadTrace loads = load_windows(file.view(), 5, "l");
  REQUIRE(loads.windows.size() == 2);
  CHECK(loads.windows[1].counts == std::vector<std::uint32_t>{4, 0});
}
