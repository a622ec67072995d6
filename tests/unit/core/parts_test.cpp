// Number formats, catalogs, errors and the thread pool.
#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "sim/core/catalog.h"
#include "sim/core/dtype.h"
#include "sim/core/error.h"
#include "sim/core/output_file.h"
#include "sim/core/thread_pool.h"
#include "tests/support/temporary_folder.h"

using namespace moesim;
using Json = nlohmann::json;

TEST_CASE("every number format has a name that reads back", "[core][unit]") {
  REQUIRE(dtype_names().size() == 9);
  for (const std::string_view name : dtype_names()) {
    CHECK(name_of(parse_dtype(name, "x")) == name);
    CHECK(stored_bits(parse_dtype(name, "x")) >= 4);
  }
  CHECK(name_of(DType::fp4) == "fp4");  // the last one: the table has no gap
  CHECK_THROWS_WITH(parse_dtype("FP8", "run.json#/x"),
                    "run.json#/x: \"FP8\" is not one of: fp32, tf32, bf16, fp16, fp8, fp8_block, "
                    "int8, int4, fp4");
}

TEST_CASE("number formats have their sizes", "[core][unit]") {
  CHECK(stored_bits(DType::fp32) == 32);
  CHECK(stored_bits(DType::tf32) == 32);
  CHECK(stored_bits(DType::bf16) == 16);
  CHECK(stored_bits(DType::fp16) == 16);
  CHECK(stored_bits(DType::fp8) == 8);
  CHECK(stored_bits(DType::int8) == 8);
  CHECK(stored_bits(DType::int4) == 4);
  CHECK(stored_bits(DType::fp4) == 4);
  // One fp32 scale per block of 128 x 128 weights: 8 + 32/16384 bits.
  CHECK(stored_bits(DType::fp8_block) == 8.001953125);
  CHECK(peak_class(DType::fp8_block) == DType::fp8);
  CHECK(peak_class(DType::int4) == DType::int4);
}

TEST_CASE("a broken invariant is no user's error", "[core][unit]") {
  CHECK_NOTHROW(ensure(true, "x"));
  CHECK_THROWS_AS(ensure(false, "x"), InvariantError);
  CHECK_THROWS_WITH(ensure(false, "bytes are kept"), "bytes are kept");
  const ConfigError error("run.json#/a", "is wrong");
  CHECK(error.where() == "run.json#/a");
  CHECK(std::string(error.what()) == "run.json#/a: is wrong");
  // What the input held is shown, not obeyed; text beyond ASCII stays.
  using namespace std::string_view_literals;
  CHECK(std::string(ConfigError("a\0b"sv, "\x1b[31m \n\x7f \u00e9").what()) ==
        "a\\x00b: \\x1b[31m \\x0a\\x7f \u00e9");
  CHECK(joined(std::vector<std::string>{}).empty());
  CHECK(joined(std::vector<std::string>{"a", "b"}) == "a, b");
}

TEST_CASE("earlier folders of a catalog hide later ones", "[core][unit]") {
  const test::TemporaryFolder folder;
  const std::string own = folder.file("own");
  const std::string shipped = folder.file("shipped");
  std::filesystem::create_directories(own);
  std::filesystem::create_directories(shipped);
  write_text_file(own + "/b.json", R"({"from": "own"})");
  write_text_file(shipped + "/b.json", R"({"from": "shipped"})");
  write_text_file(shipped + "/a.json", R"({"from": "shipped"})");
  write_text_file(shipped + "/README.md", "no entry");
  const std::vector<std::string> folders{own, shipped, folder.file("absent")};
  CHECK(catalog_names(folders) == std::vector<std::string>{"a", "b"});
  CHECK(find_in_catalog("b", folders) == own + "/b.json");
  CHECK(find_in_catalog("c", folders).empty());
  const auto shadowed = shadowed_entries(folders);
  REQUIRE(shadowed.size() == 1);
  CHECK(shadowed[0].name == "b");
  CHECK(shadowed[0].used == own + "/b.json");
  CHECK(shadowed[0].unseen == std::vector<std::string>{shipped + "/b.json"});
  CHECK(shadowed_entries({own, folder.file("absent"), own}).empty());

  std::string where;
  CHECK(resolve_reference("b", "run.json#/hardware", folders, where) == Json{{"from", "own"}});
  CHECK(where == "b.json#");
  CHECK(resolve_reference(shipped + "/a.json", "run.json#/hardware", folders, where) ==
        Json{{"from", "shipped"}});
  CHECK(where == shipped + "/a.json#");
  CHECK(resolve_reference({{"x", 1}}, "run.json#/hardware", folders, where) == Json{{"x", 1}});
  CHECK(where == "run.json#/hardware");
}

TEST_CASE("a reference that leads nowhere is refused", "[core][unit]") {
  const test::TemporaryFolder folder;
  write_text_file(folder.file("h100.json"), "{}");
  const std::vector<std::string> folders{folder.path().string()};
  std::string where;
  CHECK_THROWS_WITH(resolve_reference("h10", "run.json#/d", folders, where),
                    "run.json#/d: \"h10\" is not in the catalog; it has: h100");
  CHECK_THROWS_WITH(resolve_reference("no/x.json", "run.json#/d", folders, where),
                    "run.json#/d: the file \"no/x.json\" does not exist");
  CHECK_THROWS_WITH(resolve_reference(3, "run.json#/d", folders, where),
                    "run.json#/d: is neither a name, nor the path of a .json file, nor an object");
}

TEST_CASE("every index is visited once for any number of threads", "[core][property]") {
  const std::size_t count = GENERATE(0U, 1U, 2U, 7U, 1000U);
  const int threads = GENERATE(-1, 0, 1, 2, 3, 16);
  CAPTURE(count, threads);
  std::vector<std::atomic<int>> visits(count);
  parallel_for(count, threads, [&](std::size_t i) { ++visits.at(i); });
  CHECK(std::all_of(visits.begin(), visits.end(), [](const auto& v) { return v == 1; }));
}

TEST_CASE("the exception of the lowest failing index is rethrown", "[core][property]") {
  const int threads = GENERATE(1, 2, 4);
  const auto run = [&] {
    parallel_for(200, threads, [](std::size_t i) {
      if (i == 40) {
        std::this_thread::yield();  // let later indices fail first
      }
      if (i >= 40) {
        throw std::runtime_error(std::to_string(i));
      }
    });
  };
  for (int repetition = 0; repetition < 20; ++repetition) {
    CHECK_THROWS_WITH(run(), "40");
  }
}

TEST_CASE("work is shared by as many threads as were asked for", "[core][unit]") {
  // Each of two bodies waits for the other: one thread alone would never end. A third thread must
  // not exist: ids are collected.
  std::atomic<int> arrived{0};
  std::vector<std::thread::id> ids(2);
  parallel_for(2, 2, [&](std::size_t i) {
    ids.at(i) = std::this_thread::get_id();
    ++arrived;
    while (arrived < 2) {
      std::this_thread::yield();
    }
  });
  CHECK(ids[0] != ids[1]);
}

TEST_CASE("loops may run inside loops", "[core][unit]") {
  std::vector<std::size_t> sums(20);
  parallel_for(20, 3, [&](std::size_t i) {
    std::vector<std::size_t> parts(10);
    parallel_for(10, 2, [&](std::size_t j) { parts.at(j) = i * j; });
    for (const std::size_t part : parts) {
      sums.at(i) += part;
    }
  });
  for (std::size_t i = 0; i < sums.size(); ++i) {
    CHECK(sums[i] == 45 * i);  // 0 + 1 + ... + 9 = 45
  }
}
