#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "kernel_test_support.h"
#include "models/kernels/kernel_library.h"
#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/core/output_file.h"
#include "tests/support/temporary_folder.h"

using namespace moesim;
using Catch::Matchers::Contains;

namespace {

KernelProfile small_profile() {
  FittedFamily family =
      test::roofline_family({KernelKind::gemm, DType::bf16, DType::bf16}, {1e-6, 1.25, 1.5});
  family.preferred = true;
  family.range = {{1, 100}, {32, 4096}, {64, 8192}};
  family.rows_used = 7;
  family.in_sample = {0.01, 0.02};
  family.left_out = {0.03, 0.04};
  family.naive = {0.5, 0.75};
  family.host_floor = 6.04e-5;
  return test::profile_of(test::round_device(), "trtllm", {family});
}

nlohmann::json small_document() {
  return nlohmann::json::parse(kernel_profile_text(small_profile()));
}

}  // namespace

TEST_CASE("a profile's text reads back as the same profile", "[models][unit]") {
  const std::string text = kernel_profile_text(small_profile());
  const KernelProfile read = parse_kernel_profile(nlohmann::json::parse(text), "p.json#");
  CHECK(kernel_profile_text(read) == text);
  CHECK(read.name() == "round/trtllm-1");
  CHECK(read.device.peak.at(DType::fp8) == FlopRate(2e15));
  CHECK(read.families.at(0).range.at(1).max == 4096);
  CHECK(read.families.at(0).left_out.p90 == 0.04);
  CHECK(read.families.at(0).host_floor == 6.04e-5);
}

TEST_CASE("a damaged profile names the place", "[models][unit]") {
  nlohmann::json document = small_document();
  nlohmann::json& family = document["families"][0];
  std::string expected;
  SECTION("unknown key") {
    family["efficency"] = 1;
    expected = "p.json#/families/0/efficency";
  }
  SECTION("missing coefficient") {
    family["coefficients"].erase("e_mem");
    expected = "p.json#/families/0/coefficients/e_mem";
  }
  SECTION("coefficient of another form") {
    family["coefficients"]["wave"] = 1;
    expected = "p.json#/families/0/coefficients/wave";
  }
  SECTION("negative coefficient") {
    family["coefficients"]["t0"] = -1e-6;
    expected = "p.json#/families/0/coefficients/t0";
  }
  SECTION("coefficient below the form's limit") {
    family["coefficients"]["e_comp"] = 0.01;
    expected = "p.json#/families/0/coefficients/e_comp";
  }
  SECTION("range upside down") {
    family["fit_range"]["m"] = {5, 2};
    expected = "p.json#/families/0/fit_range/m";
  }
  SECTION("form that does not exist") {
    family["form"] = "magic";
    expected = "p.json#/families/0/form";
  }
  SECTION("rate without unit") {
    document["fitted_with"]["memory_bandwidth"] = 1e12;
    expected = "p.json#/fitted_with/memory_bandwidth";
  }
  SECTION("format that does not exist") {
    family["dtype"] = "bf17";
    expected = "p.json#/families/0/dtype";
  }
  SECTION("no families") {
    document["families"] = nlohmann::json::array();
    expected = "p.json#/families";
  }
  SECTION("operations that its families have not") {
    document["operations"].push_back("moe");
    expected = "p.json#/operations";
  }
  SECTION("operations that there are not") {
    document["operations"] = {"gem"};
    expected = "p.json#/operations";
  }
  SECTION("another schema") {
    document["schema"] = "moesim/kernel_profile/9";
    expected = "p.json#/schema";
  }
  CHECK_THROWS_WITH(parse_kernel_profile(document, "p.json#"), Contains(expected));
  CHECK_THROWS_AS(parse_kernel_profile(document, "p.json#"), ConfigError);
}

TEST_CASE("a folder's profiles are read when they are needed", "[models][unit]") {
  const test::TemporaryFolder folder;
  const std::string good = folder.file("good.json");
  const std::string other = folder.file("other.json");
  write_text_file(good, kernel_profile_text(small_profile()));
  KernelProfile of_other = small_profile();
  of_other.device.device = "oval";
  of_other.device.architecture = "ga100";
  std::string damaged = kernel_profile_text(of_other);
  damaged.replace(damaged.find("\"t0\""), 4, "\"t9\"");
  write_text_file(other, damaged);
  const KernelLibrary library(std::vector<std::string>{folder.path()});
  CHECK(library.frameworks() == std::vector<std::string>{"spec_sheet", "trtllm"});
  const KernelKey key{KernelKind::gemm, DType::bf16, DType::bf16};
  SECTION("one that nobody needs may be damaged") {
    CHECK(library.bind(test::round_device(), key, {.wish = "trtllm"}).profile->name() ==
          "round/trtllm-1");
  }
  SECTION("one that is needed may not") {
    for (int again = 0; again < 2; ++again) {
      CHECK_THROWS_WITH(library.bind(of_other.device, key, {.wish = "trtllm"}),
                        Contains("other.json#/families/0/coefficients"));
    }
    CHECK_THROWS_AS(library.profiles(), ConfigError);
  }
  SECTION("one whose head lists other operations is not needed") {
    const KernelKey memory{KernelKind::memory, DType::bf16, DType::bf16};
    CHECK_THROWS_WITH(library.bind(of_other.device, memory, {.wish = "trtllm"}),
                      Contains("no kernel profile answers"));
  }
  SECTION("what was read is kept") {
    const auto before = library.bind(test::round_device(), key, {.wish = "trtllm"});
    write_text_file(good, "{}");
    CHECK(library.bind(test::round_device(), key, {.wish = "trtllm"}).family == before.family);
  }
}

TEST_CASE("a file that says not what it is a profile of is refused at once", "[models][unit]") {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("p.json");
  std::string expected = "p.json";
  SECTION("no JSON") { write_text_file(path, "x"); }
  SECTION("no device") {
    nlohmann::json document = small_document();
    document.erase("device");
    write_text_file(path, document.dump());
    expected = "p.json#/device";
  }
  SECTION("a key that there is not, behind the families") {
    std::string text = kernel_profile_text(small_profile());
    text.replace(text.find("\"schema\""), 8, "\"scheme\"");
    write_text_file(path, text);
    expected = "p.json#/sche";
  }
  CHECK_THROWS_WITH(KernelLibrary(std::vector<std::string>{folder.path()}), Contains(expected));
}

TEST_CASE("a profile's keys may stand in any order", "[models][unit]") {
  const test::TemporaryFolder folder;
  const std::string text = kernel_profile_text(small_profile());
  // Sorted: architecture, date, device, families, fitted_with, ...
  write_text_file(folder.file("sorted.json"), nlohmann::json::parse(text).dump());
  const KernelLibrary library(std::vector<std::string>{folder.path()});
  CHECK(library.profiles().at(0)->name() == "round/trtllm-1");
  CHECK(kernel_profile_text(*library.profiles().at(0)) == text);
}

TEST_CASE("every shipped profile says where its numbers come from", "[models][contract]") {
  const KernelLibrary library(test::shipped_profiles());
  REQUIRE(library.profiles().size() >= 7);
  for (const KernelProfile* const each : library.profiles()) {
    const KernelProfile& profile = *each;
    CAPTURE(profile.name());
    CHECK(profile.date.size() >= 7);
    CHECK_FALSE(profile.version.empty());
    for (const FittedFamily& family : profile.families) {
      CAPTURE(family.name());
      CHECK(family.source.size() > 20);
      CHECK(family.rows_used > 0);
      CHECK(family.left_out.median > 0);
      // The model must be worth more than the spec sheet, on shapes that it has not seen.
      CHECK(family.left_out.median < family.naive.median);
      if (profile.framework != k_spec_sheet) {
        CHECK(family.range.size() == dim_names(family.kind).ranged);
      }
    }
  }
}
