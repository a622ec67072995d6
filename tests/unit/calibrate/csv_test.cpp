#include "calibrate/csv.h"

#include <catch2/catch.hpp>

#include "sim/core/error.h"

using namespace moesim;
using Catch::Matchers::Contains;

namespace {

CsvTable table(const std::string& text) { return CsvTable::parse(text, "t.csv"); }

}  // namespace

TEST_CASE("a table has comments, a header and rows", "[calibrate][unit]") {
  const CsvTable t = table("# source: x\nm,name,latency_ms\n1,\"a,b\",0.5\r\n\n32,c,1e-3\n");
  CHECK(t.comment() == " source: x\n");
  REQUIRE(t.rows() == 2);
  CHECK(t.count(1, t.column("m"), 1) == 32);
  CHECK(t.text(0, t.column("name")) == "a,b");
  CHECK(t.positive(1, t.column("latency_ms")) == 1e-3);
  CHECK(t.has("m"));
  CHECK_FALSE(t.has("n"));
}

TEST_CASE("a wrong table names file, line and column", "[calibrate][unit]") {
  CHECK_THROWS_WITH(table("m,n\n1,2\n").column("k"), Contains("t.csv") && Contains("m, n"));
  CHECK_THROWS_WITH(table("# c\nm,n\n1,2\n3\n"), Contains("t.csv:4:1") && Contains("has 2"));
  CHECK_THROWS_WITH(table("m,n\n1,2,3\n"), Contains("t.csv:2:3"));
  CHECK_THROWS_WITH(table("m,m\n"), Contains("t.csv:1:2"));
  CHECK_THROWS_WITH(table("m,n\n\"1,2\n"), Contains("t.csv:2") && Contains("quote"));
  CHECK_THROWS_AS(table("# only a comment\n"), ConfigError);
  CHECK_THROWS_AS(table(""), ConfigError);
}

TEST_CASE("a wrong value names file, line and column", "[calibrate][unit]") {
  const CsvTable t = table("# c\nm,t\n1,nan\n-2,0\n3.5,-1\n,1e999\n7x,1 \n");
  for (std::size_t row = 0; row < t.rows(); ++row) {
    CAPTURE(row);
    CHECK_THROWS_AS(t.positive(row, 1), ConfigError);
    CHECK_THROWS_WITH(t.positive(row, 1), Contains("t.csv:" + std::to_string(row + 3) + ":t"));
    if (row > 0) {
      CHECK_THROWS_WITH(t.count(row, 0, 0), Contains("t.csv:" + std::to_string(row + 3) + ":m"));
    }
  }
}
