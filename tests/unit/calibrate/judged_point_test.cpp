#include "calibrate/validate/judged_point.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "calibrate/validate/regimes.h"
#include "sim/core/csv.h"
#include "sim/core/error.h"

using namespace moesim;

namespace {

constexpr std::array<std::string_view, 2> k_names{"tokens", "local_experts"};

struct Shape {
  std::array<double, 2> dims;
};

JudgedPoint point_of(const Shape& shape, double measured_s, double predicted_s,
                     std::string_view group = "moe/a/b/c") {
  return {.group = group,
          .kernel_source = "kernel, fast",
          .dim_names = k_names,
          .dims = shape.dims,
          .measured_s = measured_s,
          .predicted_s = predicted_s,
          .naive_s = measured_s / 2,
          .sigma = 0.1,
          .extrapolated = true,
          .file = "folder/x.csv",
          .line = 7};
}

// `count` rows with this error.
void add(Regimes& regimes, const Shape& shape, double measured_s, double error, int count) {
  for (int i = 0; i < count; ++i) {
    regimes.add(point_of(shape, measured_s, measured_s * (1 + error)));
  }
}

}  // namespace

// exp(0.12816) = 1.1367: 1.13 times slower is inside, 1.14 times is not, nor is 1.14 times faster.
TEST_CASE("a row is inside when the measurement lies between p10 and p90", "[calibrate][unit]") {
  const Shape shape{{1, 1}};
  CHECK(inside_p10_p90(point_of(shape, 1.13, 1.0)));
  CHECK(inside_p10_p90(point_of(shape, 1.0, 1.13)));
  CHECK_FALSE(inside_p10_p90(point_of(shape, 1.14, 1.0)));
  CHECK_FALSE(inside_p10_p90(point_of(shape, 1.0, 1.14)));
}

TEST_CASE("a table of points reads back", "[calibrate][unit]") {
  std::string out;
  PointTable table([&](std::string_view line) { out += line; }, kernel_point_dims());
  table.add(point_of({{4096, 2.5}}, 2e-6, 3e-6));
  table.add(point_of({{6710886400, 1}}, 2e-6, 3e-6));
  const CsvTable read = CsvTable::parse(out, "points.csv");
  REQUIRE(read.rows() == 2);
  CHECK(read.text(0, read.column("group")) == "moe/a/b/c");
  CHECK(read.number(0, read.column("tokens")) == 4096);
  CHECK(read.number(0, read.column("local_experts")) == 2.5);
  CHECK(read.text(0, read.column("head_dim")).empty());
  CHECK(read.text(1, read.column("tokens")) == "6710886400");
  CHECK(read.number(0, read.column("predicted_s")) == 3e-6);
  CHECK(read.number(0, read.column("p10_s")) == Approx(3e-6 * std::exp(-0.12816)));
  CHECK(read.number(0, read.column("p90_s")) == Approx(3e-6 * std::exp(0.12816)));
  CHECK(read.number(0, read.column("extrapolated")) == 1);
  CHECK(read.text(0, read.column("file")) == "folder/x.csv");
  CHECK(read.count(0, read.column("line"), 1) == 7);
  CHECK(read.text(0, read.column("kernel_source")) == "kernel, fast");
  const Shape small{{1, 1}};  // points refer to their shape
  JudgedPoint quoted = point_of(small, 1, 1);
  quoted.kernel_source = "a \"b\"";
  table.add(quoted);
  CHECK(out.find(",\"a \"\"b\"\"\",") != std::string::npos);
  constexpr std::array<std::string_view, 2> strange{"tokens", "colour"};
  JudgedPoint unknown = point_of(small, 1, 1);
  unknown.dim_names = strange;
  CHECK_THROWS_AS(table.add(unknown), InvariantError);
}

TEST_CASE("the worst regime has the largest median error and enough rows", "[calibrate][unit]") {
  Regimes regimes;
  add(regimes, {{16, 8}}, 1e-5, 0.1, 100);
  add(regimes, {{63, 8}}, 1e-5, 0.12, 100);   // tokens in [16, 64): 0.11 of 200 rows
  add(regimes, {{64, 8}}, 1e-5, -0.25, 100);  // [64, 256): 0.25
  add(regimes, {{4096, 1}}, 1e-3, 0.9, 9);    // too few
  regimes.add(point_of({{1, 1}}, 1, 1, "small"));
  const auto worst = regimes.worst();
  REQUIRE(worst.size() == 1);
  const Regime& regime = worst.at("moe/a/b/c");
  CHECK(regime.variable == "tokens");
  CHECK(regime.from == 64);
  CHECK(regime.to == 256);
  CHECK(regime.n == 100);
  CHECK(regime.median_ape == Approx(0.25));
  CHECK(regime.p90_ape == Approx(0.25));
  add(regimes, {{4096, 1}}, 1e-3, 0.9, 100);
  CHECK(regimes.worst().at("moe/a/b/c").median_ape == Approx(0.9));
}
