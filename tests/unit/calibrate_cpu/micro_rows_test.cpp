#include "calibrate/cpu/micro_rows.h"

#include <catch2/catch.hpp>

#include "sim/core/error.h"

using namespace moesim;
using Catch::Matchers::Contains;

namespace {

const std::string k_head =
    "# source: cpu, 2026-01-01\n"
    "kernel,threads,rows,n,k,working_set_bytes,depth,unit,median,p10,p90,repeats\n";

MicroTable parse(const std::string& text) { return parse_micro_table(text, "expert.csv"); }

}  // namespace

TEST_CASE("a table of microbenchmarks survives writing and reading", "[calibrate_cpu][unit]") {
  const MicroTable table{
      "AMD EPYC, 2 processors, 2026-01-01",
      {{{"expert", 2, 16, 512, 256, 1'000'000, 1}, 1.25e-5, 1.2e-5, 2e-5, 40, 1.1e-5},
       {{"disk_direct", 1, 0, 4096, 0, 1 << 20, 1}, 0.1, 0.1, 0.1, 1}}};
  const MicroTable back = parse(micro_table_text(table));
  CHECK(back.source == table.source);
  REQUIRE(back.rows.size() == 2);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(back.rows[i].key == table.rows[i].key);
    CHECK(back.rows[i].median_s == table.rows[i].median_s);
    CHECK(back.rows[i].p90_s == table.rows[i].p90_s);
    CHECK(back.rows[i].repeats == table.rows[i].repeats);
    CHECK(back.rows[i].fitted_s() == table.rows[i].fitted_s());
  }
}

TEST_CASE("a damaged table names file, line and column", "[calibrate_cpu][unit]") {
  const std::string good = "expert,1,16,512,256,1000,1,s,2e-5,1e-5,3e-5,9\n";
  CHECK(parse(k_head + good).rows.size() == 1);
  // A table of before there was a column `time`.
  CHECK(parse(k_head + good).rows[0].fitted_s() == 2e-5);
  CHECK_THROWS_WITH(parse("# source: x\nkernel,threads\nexpert,1\n"),
                    Contains("expert.csv") && Contains("no column \"rows\""));
  CHECK_THROWS_WITH(parse(k_head + good + "expert,1,16,512,256,2000,1,us,2e-5,1e-5,3e-5,9\n"),
                    Contains("expert.csv:4:unit") && Contains("\"us\"") && Contains("seconds"));
  CHECK_THROWS_WITH(parse(k_head + "expert,1,16,512,256,1000,1,s,nan,1e-5,3e-5,9\n"),
                    Contains("expert.csv:3:median") && Contains("finite"));
  CHECK_THROWS_WITH(parse(k_head + "expert,1,16,512,256,1000,1,s,0,1e-5,3e-5,9\n"),
                    Contains("expert.csv:3:median") && Contains("greater than 0"));
  CHECK_THROWS_WITH(parse(k_head + good + good),
                    Contains("expert.csv:4:kernel") && Contains("repeats a case"));
  CHECK_THROWS_WITH(parse(k_head + "expert,1,16,512,256,1000,1,s,2e-5,3e-5,3e-5,9\n"),
                    Contains("expert.csv:3:p10"));
  CHECK_THROWS_WITH(parse(k_head + "expert,1,16,512,256,1000,1,s,2e-5,1e-5,1e-5,9\n"),
                    Contains("expert.csv:3:p90"));
  CHECK_THROWS_WITH(parse(k_head + "expert,0,16,512,256,1000,1,s,2e-5,1e-5,3e-5,9\n"),
                    Contains("expert.csv:3:threads"));
  CHECK_THROWS_WITH(parse(k_head + "expert,1025,16,512,256,1000,1,s,2e-5,1e-5,3e-5,9\n"),
                    Contains("expert.csv:3:threads") && Contains("from 1 to 1024"));
  CHECK_THROWS_WITH(parse(k_head + "expert,1,0,512,256,1000,1,s,2e-5,1e-5,3e-5,9\n"),
                    Contains("expert.csv:3:rows"));
  CHECK_THROWS_WITH(parse(k_head + "dispatch_local,1,4,0,0,1000,1,s,2e-5,1e-5,3e-5,9\n"),
                    Contains("expert.csv:3:k"));
  CHECK_THROWS_WITH(parse(k_head + "gate,1,4,8,8,1099511627777,1,s,2e-5,1e-5,3e-5,9\n"),
                    Contains("expert.csv:3:working_set_bytes"));
  CHECK_THROWS_WITH(parse(k_head + "gate,1,4,1099511627776,4096,9,1,s,2e-5,1e-5,3e-5,9\n"),
                    Contains("expert.csv:3:k") && Contains("2^50"));
  CHECK_THROWS_WITH(parse(k_head + "expert,1,16,512,256,1000,1,s,2e6,1e-5,3e6,9\n"),
                    Contains("expert.csv:3:median") && Contains("1e-12 to 1e6 s"));
  CHECK_THROWS_WITH(parse(k_head + "expert,1,16,512,256,1000,1,s,2e-5,1e-13,3e-5,9\n"),
                    Contains("expert.csv:3:p10") && Contains("1e-12 to 1e6 s"));
  CHECK_THROWS_WITH(parse(k_head.substr(k_head.find('\n') + 1) + good), Contains("# source"));
  std::string wide = k_head;
  wide.insert(wide.size() - 1, ",more");
  CHECK_THROWS_WITH(parse(wide), Contains("no microbenchmark writes"));
}
