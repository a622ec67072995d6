#include "calibrate/cuda/host/result_file.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "sim/core/config.h"
#include "sim/core/csv.h"
#include "sim/core/error.h"
#include "sim/core/rng.h"
#include "tests/unit/calibrate/kernel_data.h"

using namespace moesim;
using namespace moesim::bench;

namespace {

const std::vector<std::string> columns{"kernel_source", "m", "latency_ms", "device"};

ResultFile opened(const test::MeasurementFolder& folder, const std::string& device = "D, 80GB") {
  return {folder.path() + "/x.csv", "source: test", columns, 2, device};
}

}  // namespace

TEST_CASE("rows are on disk at once and are not measured again", "[calibrate][unit]") {
  const test::MeasurementFolder folder("result");
  {
    ResultFile file = opened(folder);
    CHECK_FALSE(std::filesystem::exists(file.path()));
    file.add({"lt", "1", "0.5", "D, 80GB"});
    const CsvTable table = CsvTable::read(file.path());
    CHECK(table.rows() == 1);
    CHECK(table.comment() == " source: test\n");
    CHECK(table.text(0, 3) == "D, 80GB");  // the comma is quoted
  }
  ResultFile again = opened(folder);
  CHECK(again.rows() == 1);
  CHECK(again.has(std::vector<std::string>{"lt", "1"}));
  CHECK_FALSE(again.has(std::vector<std::string>{"lt", "2"}));
  CHECK_THROWS_AS(again.add({"lt", "1", "0.6", "D, 80GB"}), ConfigError);
  CHECK_THROWS_AS(again.add({"lt", "3", "0.6"}), ConfigError);
  again.add({"lt", "2", "0.6", "D, 80GB"});
  CHECK(CsvTable::read(again.path()).rows() == 2);
  // Nothing else lies beside it: temporary files are gone.
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()),
                      std::filesystem::directory_iterator()) == 1);
}

TEST_CASE("tables of other programs and devices are left alone", "[calibrate][unit]") {
  const test::MeasurementFolder folder("other");
  folder.write("x.csv", "# source: test\nkernel_source,m,latency_ms\nlt,1,0.5\n");
  CHECK_THROWS_WITH(opened(folder), Catch::Contains("another header"));
  folder.write("x.csv", "# source: test\nkernel_source,m,latency_ms,device\nlt,1,0.5,E\n");
  CHECK_THROWS_WITH(opened(folder), Catch::Contains("another device"));
  folder.write("x.csv", "# source: test\nkernel_source,m,latency_ms,device\nlt,1,0.5\n");
  CHECK_THROWS_AS(opened(folder), ConfigError);
}

TEST_CASE("any rows survive any number of interruptions", "[calibrate][property]") {
  const test::MeasurementFolder folder("property");
  const std::vector<std::string> texts{"a", "b,c", "d \"quoted\"", "e\nf", "", "g;h"};
  std::set<std::string> expected;
  Rng rng(5);
  int reopened = 0;
  for (int run = 0; run < 30; ++run) {
    ResultFile file = opened(folder);
    REQUIRE(file.rows() == expected.size());
    reopened += file.rows() > 0 ? 1 : 0;
    for (std::uint64_t i = rng.below(6); i > 0; --i) {
      const std::vector<std::string> row{texts[rng.below(texts.size())],
                                         std::to_string(rng.below(20)), "1", "D, 80GB"};
      const std::vector<std::string> key{row[0], row[1]};
      REQUIRE(file.has(key) == expected.contains(csv_line(key)));
      if (!file.has(key)) {
        file.add(row);
        expected.insert(csv_line(key));
      }
    }
  }
  CHECK(reopened > 20);
  CHECK(CsvTable::read(folder.path() + "/x.csv").rows() == expected.size());
}
