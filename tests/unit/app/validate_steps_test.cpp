#include "sim/app/validate_steps.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "sim/app/catalog.h"
#include "sim/app/simulate.h"
#include "sim/core/csv.h"
#include "sim/core/error.h"
#include "sim/core/output_file.h"
#include "tests/support/temporary_folder.h"

using namespace moesim;

namespace {

const std::string k_header =
    "model_path,system,backend,backend_version,precision,mode,isl,osl,concurrency,"
    "decode_num_workers,decode_tp_size,decode_pp_size,decode_attention_dp_size,decode_moe_tp_size,"
    "decode_moe_ep_size,silicon_tpot_ms\n";

std::string row(const std::string& model, const std::string& system, int concurrency, double ms) {
  return model + "," + system + ",sglang,0.5,bf16,disagg,1024,1024," + std::to_string(concurrency) +
         ",1,1,1,8,1,8," + std::to_string(ms) + "\n";
}

ValidateStepsOptions options_of(const test::TemporaryFolder& folder, const std::string& rows) {
  write_text_file(folder.file("steps.csv"), k_header + rows);
  return {.file = folder.file("steps.csv"), .catalogs = catalog_folders({MOESIM_SOURCE_DIR})};
}

const std::string k_lite = "deepseek-ai/DeepSeek-V2-Lite";

}  // namespace

TEST_CASE("steps are what simulate says of them, and rows add up") {
  const test::TemporaryFolder folder;
  ValidateStepsOptions options = options_of(folder, row(k_lite, "h100_sxm", 64, 5.0) +
                                                        row("lab/Unknown", "h100_sxm", 64, 5.0) +
                                                        row(k_lite, "h9000", 64, 5.0));
  options.points = folder.file("points.csv");
  const ValidateStepsResult result = validate_steps(options);
  REQUIRE(result.groups.size() == 1);
  const StepGroup& group = result.groups[0];
  CHECK(group.name == "step_s/deepseek-v2-lite/h100_sxm/sglang/bf16");
  CHECK(group.n == 1);
  CHECK(result.pooled.at(0).name == "step_s/bf16");
  CHECK(result.skipped.at("model lab/Unknown is not in the catalog") == 1);
  CHECK(result.skipped.at("no cluster of h9000 is in the catalog") == 1);
  CHECK(to_json(result).at("rows_read") == 3);
  CHECK(to_json(result).at("groups").at(0).at("baseline").at("naive_median_ape").get<double>() > 0);

  const nlohmann::json document = step_scenario(read_step_points(options.file).steps.at(0),
                                                {.cluster = "h100-8x-ib400",
                                                 .model = "deepseek-v2-lite",
                                                 .experts = 64,
                                                 .node_devices = 8,
                                                 .has_profile = true},
                                                8);
  const Library library(options.catalogs);
  const double step_s =
      simulate(parse_scenario(document, "row"), library, {}).report.metrics.step_s;
  CHECK(group.mean_signed_error == Approx(step_s / 5e-3 - 1));
  CHECK(group.median_ape == Approx(std::abs(step_s / 5e-3 - 1)).epsilon(1e-4));
  const CsvTable points = CsvTable::read(options.points);
  CHECK(points.rows() == 1);
  CHECK(points.number(0, points.column("predicted_s")) == Approx(step_s).epsilon(1e-6));
  CHECK(points.number(0, points.column("requests_per_rank")) == 8);
}

// Measured times right inside and outside of the predicted bounds.
TEST_CASE("coverage counts the rows inside the predicted interval") {
  const test::TemporaryFolder folder;
  ValidateStepsOptions options = options_of(folder, row(k_lite, "h100_sxm", 64, 5.0));
  options.points = folder.file("points.csv");
  validate_steps(options);
  const CsvTable points = CsvTable::read(options.points);
  const double low = 1e3 * points.number(0, points.column("p10_s"));
  const double high = 1e3 * points.number(0, points.column("p90_s"));
  const ValidateStepsResult result = validate_steps(options_of(
      folder, row(k_lite, "h100_sxm", 64, low * 1.01) + row(k_lite, "h100_sxm", 64, high * 0.99) +
                  row(k_lite, "h100_sxm", 64, low * 0.98) +
                  row(k_lite, "h100_sxm", 64, high * 1.01)));
  REQUIRE(result.groups.at(0).n == 4);
  CHECK(result.groups.at(0).coverage_80 == Approx(0.5));
}

TEST_CASE("the table of steps is not written over") {
  const test::TemporaryFolder folder;
  ValidateStepsOptions options = options_of(folder, row(k_lite, "h100_sxm", 64, 5.0));
  options.points = options.file;
  CHECK_THROWS_AS(validate_steps(options), ConfigError);
}
