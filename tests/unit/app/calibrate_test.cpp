#include "sim/app/calibrate.h"

#include <algorithm>
#include <filesystem>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "sim/app/catalog.h"
#include "sim/core/config.h"
#include "sim/core/error.h"
#include "tests/unit/app/measured_tables.h"

using namespace moesim;

namespace {

CalibrateFitOptions options_of(const test::TemporaryFolder& folder) {
  return {.directory = folder.path().string(),
          .date = "2026-11",
          .catalogs = catalog_folders({MOESIM_SOURCE_DIR})};
}

}  // namespace

TEST_CASE("profiles are fitted to a folder's tables, and are files of a catalog") {
  const test::TemporaryFolder folder;
  test::write_products(folder);
  test::write_all_reduces(folder);
  std::vector<double> shares;
  CalibrateFitOptions options = options_of(folder);
  options.progress = [&](double share) { shares.push_back(share); };
  CHECK(calibrate_fit_kernels(options).size() == 1);
  options.spec_sheet = true;
  const std::vector<KernelProfile> kernels = calibrate_fit_kernels(options);
  std::vector<std::string> names;
  for (const KernelProfile& profile : kernels) {
    const ProfileFile file = profile_file(profile);
    names.push_back(file.name);
    CHECK(nlohmann::json::parse(file.text).at("date") == "2026-11");
  }
  CHECK(names == std::vector<std::string>{"h100_sxm.moesim-7.json", "spec_sheet.json"});
  REQUIRE_FALSE(shares.empty());
  CHECK(shares.back() == 1.0);

  const std::vector<CommProfile> links = calibrate_fit_communication(options);
  REQUIRE(links.size() == 1);
  CHECK(links[0].device == "h100_sxm");
  REQUIRE(links[0].collectives.size() == 1);
  CHECK(profile_file(links[0]).name == "h100_sxm.json");
  const auto document = nlohmann::json::parse(profile_file(links[0]).text);
  CHECK(document.at("collectives").at(0).at("fit").at("median_error").get<double>() < 0.03);
}

TEST_CASE("folders without measurements are the caller's error") {
  const test::TemporaryFolder folder;
  CHECK_THROWS_AS(calibrate_fit_kernels(options_of(folder)), ConfigError);
  CHECK_THROWS_AS(calibrate_host(folder.path().string()), ConfigError);
  CHECK_THROWS_WITH(
      calibrate_run({.out = folder.path().string(), .families = {"magic"}, .quick = true}),
      Catch::Contains("magic") && Catch::Contains(std::string(calibrate_families()[0].first)));
}

TEST_CASE("a family is measured once, and kept", "[slow]") {
  const test::TemporaryFolder folder;
  std::vector<double> shares;
  const CalibrateRunOptions options{.out = folder.path().string(),
                                    .families = {"handoff"},
                                    .quick = true,
                                    .progress = [&](double share) { shares.push_back(share); }};
  const std::vector<MeasuredFamily> measured = calibrate_run(options);
  REQUIRE(measured.size() == 1);
  CHECK(measured[0].name == "handoff");
  CHECK(measured[0].rows > 0);
  CHECK_FALSE(measured[0].kept);
  CHECK(std::filesystem::exists(measured[0].path));
  REQUIRE_FALSE(shares.empty());
  CHECK(std::ranges::is_sorted(shares));
  CHECK(shares.back() == Approx(1.0));
  const std::vector<MeasuredFamily> again = calibrate_run(options);
  CHECK(again.at(0).kept);
  CHECK(again.at(0).rows == measured[0].rows);
}
