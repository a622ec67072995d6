#include "sim/app/validate.h"

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "sim/app/catalog.h"
#include "sim/app/validate_host.h"
#include "sim/core/config.h"
#include "sim/core/error.h"
#include "tests/unit/app/measured_tables.h"
#include "tests/unit/calibrate_cpu/support.h"

using namespace moesim;

namespace {

ValidateOptions options_of(const test::TemporaryFolder& folder) {
  return {.directory = folder.path().string(), .catalogs = catalog_folders({MOESIM_SOURCE_DIR})};
}

std::int64_t lines_of(const std::string& path) {
  const std::string text = read_text_file(path);
  return std::ranges::count(text, '\n');
}

}  // namespace

TEST_CASE("kernels are judged; regimes and points are extra") {
  const test::TemporaryFolder folder;
  test::write_products(folder);
  ValidateOptions options = options_of(folder);
  const ValidateKernelsResult plain = validate_kernels(options);
  REQUIRE(plain.report.groups.size() == 1);
  CHECK(plain.report.groups[0].n == 28);
  CHECK(plain.worst_regimes.empty());
  const test::TemporaryFolder out;
  options.points = out.file("points.csv");
  options.regimes = true;
  const ValidateKernelsResult result = validate_kernels(options);
  CHECK(lines_of(options.points) == 29);
  REQUIRE(result.worst_regimes.size() == 1);
  CHECK(result.worst_regimes.begin()->first == plain.report.groups[0].name);
  CHECK(result.worst_regimes.begin()->second.median_ape >= plain.report.groups[0].median_ape);
  nlohmann::json document = to_json(result);
  nlohmann::json& group = document.at("groups").at(0);
  CHECK(group.at("worst_regime").at("median_ape") ==
        result.worst_regimes.begin()->second.median_ape);
  group.erase("worst_regime");
  CHECK(document == to_json(plain));
}

TEST_CASE("a device that is left out is predicted from the others") {
  const test::TemporaryFolder folder;
  test::write_products(folder);
  ValidateOptions options = options_of(folder);
  const double known = validate_kernels(options).report.groups.at(0).median_ape;
  options.leave_device_out = true;
  CHECK(validate_kernels(options).report.groups.at(0).median_ape != known);
}

TEST_CASE("collectives are judged, with regimes and points on request") {
  const test::TemporaryFolder folder;
  test::write_all_reduces(folder);
  const test::TemporaryFolder out;
  ValidateOptions options = options_of(folder);
  options.points = out.file("points.csv");
  options.regimes = true;
  const ValidateCollectivesResult result = validate_collectives(options);
  std::int64_t judged = 0;
  for (const CommGroup& group : result.report.groups) {
    judged += group.n;
  }
  CHECK(judged == 60);
  CHECK(lines_of(options.points) == 61);
  CHECK_FALSE(result.worst_regimes.empty());
  const nlohmann::json document = to_json(result);
  CHECK(document.at("groups").size() == result.report.groups.size());
  CHECK(document.at("groups").at(0).at("median_ape") == result.report.groups[0].median_ape);
  CHECK(document.at("groups").at(0).contains("worst_regime"));
}

TEST_CASE("nothing to judge, and points over what is read, are the caller's errors") {
  const test::TemporaryFolder folder;
  CHECK_THROWS_WITH(validate_collectives(options_of(folder)),
                    Catch::Contains("holds no table of measured collectives"));
  test::write_all_reduces(folder);
  ValidateOptions options = options_of(folder);
  options.points = folder.file("h100_sxm/nccl-9.9.csv");
  CHECK_THROWS_WITH(validate_collectives(options), Catch::Contains("would replace what is read"));
}

TEST_CASE("layers run on this machine are compared with a profile's predictions", "[slow]") {
  const test::TemporaryFolder folder;
  ValidateHostOptions options{.run = {.quick = true,
                                      .configurations = 2,
                                      .profile = test::made_up_host(),
                                      .scratch_folder = folder.path().string(),
                                      .trace = {}},
                              .save = folder.file("saved")};
  const HostValidation result = validate_host(options);
  const nlohmann::json document = to_json(result);
  CHECK(document.at("configurations").size() == result.rows.size());
  // Beside a load that leaves no window alone there is nothing to compare, and that is said.
  if (result.rows.empty()) {
    CHECK(document.at("verdict").at("answer") == "cannot_tell");
    CHECK_FALSE(document.at("skipped").empty());
  } else {
    CHECK(result.rows[0].measured.step_s > 0.0);
    CHECK(document.at("configurations").at(0).at("measured").at("step_s") ==
          result.rows[0].measured.step_s);
    CHECK(document.at("configurations").at(0).at("interval").size() == 2);
    CHECK(document.at("groups").at(0).at("interval").size() == 2);
  }
  CHECK(document.at("verdict").at("bar") == 0.15);
  CHECK(document.at("noise").at("microbenchmark_half_width") == 0.0);
  CHECK(document.at("host").at("source") == test::made_up_host().source);
  save_host_validation(result, options.save);
  CHECK(read_json_file(options.save + "/validation.json").at("groups").size() ==
        result.groups.size());
  CHECK(parse_host_profile(read_json_file(options.save + "/profile.json"), "p#").date ==
        test::made_up_host().date);
}

TEST_CASE("an interrupted validation of the host leaves nothing behind") {
  const test::TemporaryFolder folder;
  const std::atomic<bool> cancel{true};
  ValidateHostOptions options{.run = {.quick = true,
                                      .configurations = 2,
                                      .profile = test::made_up_host(),
                                      .scratch_folder = folder.path().string(),
                                      .trace = {},
                                      .cancel = &cancel}};
  CHECK_THROWS_AS(validate_host(options), Interrupted);
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("what cannot be measured with or saved is said before measuring") {
  const test::TemporaryFolder folder;
  ValidateHostOptions options;
  options.run.scratch_folder = folder.path().string();
  options.run.trace = "a.csv";
  CHECK_THROWS_WITH(validate_host(options), Catch::StartsWith("--trace a.csv: is no trace"));
  options.run.trace.clear();
  options.save = "/proc/nowhere";
  CHECK_THROWS_WITH(validate_host(options), Catch::StartsWith("--save /proc/nowhere: cannot be"));
  options.save.clear();
  options.profile = folder.file("missing.json");
  CHECK_THROWS_WITH(validate_host(options), Catch::Contains("missing.json"));
  options.run.scratch_folder.clear();
  CHECK_THROWS_WITH(validate_host(options), Catch::StartsWith("--scratch: missing"));
}
