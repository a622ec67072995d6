// The shipped profiles on the measurements that they were fitted to: a change that makes them worse
// must say so by changing this table.
#include <catch2/catch.hpp>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "calibrate/validate/validate_kernels.h"
#include "kernel_data.h"

using namespace moesim;

namespace {

constexpr double k_slack = 1.02;

}  // namespace

TEST_CASE("shipped profiles are as accurate as the committed table says",
          "[calibrate][validation][shared][slow]") {
  const std::string data = MOESIM_SHARED_DIR "/data/measured";
  if (!std::filesystem::exists(data)) {
    WARN("skipped: the measurements are not on this machine");
    return;
  }
  const auto table = read_json_file(MOESIM_SOURCE_DIR "/calibrate/accuracy.json");
  const std::vector<std::string> profiles(1, MOESIM_SOURCE_DIR "/models/profiles");
  const ValidationReport report = validate_kernels(data, profiles, test::measured_device);
  std::map<std::string, ValidationGroup> groups;
  for (const ValidationGroup& group : report.groups) {
    groups[group.name] = group;
    CHECK(table.contains(group.name));
  }
  std::int64_t rows = 0;
  for (const auto& [name, limits] : table.items()) {
    CAPTURE(name);
    REQUIRE(groups.contains(name));
    CHECK(groups[name].median_ape <= limits.at("median_ape").get<double>() * k_slack);
    CHECK(groups[name].p90_ape <= limits.at("p90_ape").get<double>() * k_slack);
    CHECK(groups[name].n == limits.at("n").get<std::int64_t>());
    rows += groups[name].n;
  }
  for (const auto& [reason, n] : report.skipped) {
    rows += n;
  }
  CHECK(rows == report.rows_read);
}
