#include "sim/core/csv.h"

#include <catch2/catch.hpp>

#include "sim/core/error.h"

using namespace moesim;
using Catch::Matchers::Contains;

namespace {

CsvTable table(const std::string& text) { return CsvTable::parse(text, "t.csv"); }

}  // namespace

TEST_CASE("a table has comments, a header and rows", "[core][unit]") {
  const CsvTable t = table("# source: x\nm,name,latency_ms\n1,\"a,b\",0.5\r\n\n32,c,1e-3\n");
  CHECK(t.comment() == " source: x\n");
  REQUIRE(t.rows() == 2);
  CHECK(t.count(1, t.column("m"), 1) == 32);
  CHECK(t.text(0, t.column("name")) == "a,b");
  CHECK(t.positive(1, t.column("latency_ms")) == 1e-3);
  CHECK(t.has("m"));
  CHECK_FALSE(t.has("n"));
}

TEST_CASE("a wrong table names file, line and column", "[core][unit]") {
  CHECK_THROWS_WITH(table("m,n\n1,2\n").column("k"), Contains("t.csv") && Contains("m, n"));
  CHECK_THROWS_WITH(table("# c\nm,n\n1,2\n3\n"), Contains("t.csv:4:1") && Contains("has 2"));
  CHECK_THROWS_WITH(table("m,n\n1,2,3\n"), Contains("t.csv:2:3"));
  CHECK_THROWS_WITH(table("m,m\n"), Contains("t.csv:1:2"));
  CHECK_THROWS_WITH(table("m,n\n\"1,2\n"), Contains("t.csv:2") && Contains("quote"));
  CHECK_THROWS_AS(table("# only a comment\n"), ConfigError);
  CHECK_THROWS_AS(table(""), ConfigError);
}

TEST_CASE("a header that is not the layout's is refused", "[core][unit]") {
  const std::vector<std::string> layout{"e0", "e1"};
  CHECK_NOTHROW(table("e0,e1\n6,2\n").check_header(layout));
  CHECK_THROWS_WITH(table("6,2\n7,4\n").check_header(layout),
                    "t.csv: the header is 6, 2; this layout has e0, e1");
  CHECK_THROWS_AS(table("e1,e0\n6,2\n").check_header(layout), ConfigError);
  CHECK_THROWS_AS(table("e0\n6\n").check_header(layout), ConfigError);
  CHECK_THROWS_WITH(table("e0,e1\n").check_has_rows(), Contains("has no rows"));
}

TEST_CASE("numbers out of range name the range", "[core][unit]") {
  const CsvTable t = table("m,w\n3000000000,1.5\n");
  CHECK_THROWS_WITH(t.count(0, 0, 1),
                    "t.csv:2:m: \"3000000000\" is not a whole number from 1 to "
                    "2147483648");
  CHECK(t.count(0, 0, 1, std::int64_t{1} << 40) == 3'000'000'000);
  CHECK_THROWS_WITH(t.number(0, 1, 0.0, 1.0), "t.csv:2:w: \"1.5\" is not within 0 to 1");
  CHECK(t.number(0, 1, 0.0, 2.0) == 1.5);
}

TEST_CASE("a wrong value names file, line and column", "[core][unit]") {
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
