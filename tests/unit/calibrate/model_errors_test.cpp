#include "calibrate/validate/model_errors.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace moesim;

namespace {

constexpr std::array<std::string_view, 5> k_names{"tokens", "top_k", "hidden", "inter",
                                                  "total_experts"};

void add(ErrorsByModel& errors, std::array<double, 5> dims, double predicted) {
  errors.add(JudgedPoint{.group = "moe/x",
                         .kernel_source = "k",
                         .dim_names = k_names,
                         .dims = dims,
                         .measured_s = 1.0,
                         .predicted_s = predicted,
                         .naive_s = 1.0,
                         .sigma = 0.0,
                         .extrapolated = false,
                         .file = "f",
                         .line = 1});
}

}  // namespace

TEST_CASE("rows with a model's widths are judged by themselves", "[calibrate][unit]") {
  const std::vector<std::string> catalog(1, MOESIM_SOURCE_DIR "/models/catalog");
  ErrorsByModel errors({load_model(nlohmann::json("mixtral-8x7b"), "test", catalog)});
  add(errors, {1, 2, 4096, 14336, 8}, 1.1);   // whole
  add(errors, {64, 2, 4096, 7168, 8}, 0.8);   // a half of each expert
  add(errors, {64, 2, 4096, 2048, 8}, 9.0);   // widths of another model
  add(errors, {64, 8, 4096, 14336, 8}, 9.0);  // and its top-k
  const std::vector<ModelErrors> rows = errors.rows();
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].model == "mixtral-8x7b");
  CHECK(rows[0].group == "moe/x");
  CHECK(rows[0].n == 2);
  CHECK(rows[0].median_ape == Approx(0.15));
  CHECK(rows[0].mean_signed_error == Approx(-0.05));
}
