#include "calibrate/validate/step_points.h"

#include <catch2/catch.hpp>

#include "sim/core/error.h"
#include "sim/core/output_file.h"
#include "tests/support/temporary_folder.h"

using namespace moesim;

namespace {

const std::string k_header =
    "# source: made\nmodel_path,system,backend,backend_version,precision,mode,isl,osl,concurrency,"
    "decode_num_workers,decode_tp_size,decode_pp_size,decode_attention_dp_size,decode_moe_tp_size,"
    "decode_moe_ep_size,silicon_tpot_ms\n";

StepPoints read(const test::TemporaryFolder& folder, const std::string& text) {
  write_text_file(folder.file("points.csv"), text);
  return read_step_points(folder.file("points.csv"));
}

}  // namespace

TEST_CASE("a row of decode workers is a step", "[calibrate][unit]") {
  const test::TemporaryFolder folder;
  const StepPoints points =
      read(folder, k_header +
                       "lab/Net,b200_sxm,trtllm,1.2,fp8,disagg,8192.0,1024.0,100,2.0,1,1,"
                       "8.0,1,8,20.5\n");
  REQUIRE(points.steps.size() == 1);
  const MeasuredStep& step = points.steps[0];
  CHECK(step.model == "lab/Net");
  CHECK(step.system == "b200_sxm");
  CHECK(step.framework == "trtllm");
  CHECK(step.version == "1.2");
  CHECK(step.precision == "fp8");
  CHECK(step.ranks == 8);
  CHECK(step.requests_per_rank == 6.25);  // 100 requests on 16 ranks
  CHECK(step.decoding(0.02) == 6);
  CHECK(step.context == 8192 + 512);
  CHECK(step.step_s == Approx(0.0205));
  CHECK(step.line == 3);
  CHECK(points.skipped.empty());
}

// Of 64 requests at a time, each decodes 1024 x 20 ms = 20.48 s of the 40.96 s that it lives.
TEST_CASE("requests that wait for their first token do not decode", "[calibrate][unit]") {
  const test::TemporaryFolder folder;
  std::string header = k_header;
  header.insert(header.size() - 1, ",silicon_ttft_ms");
  const std::string row = "lab/Net,b200_sxm,trtllm,1,fp8,disagg,8192,1024,512,1,1,1,8,1,8,20,";
  const StepPoints points = read(folder, header + row + "20480\n");
  REQUIRE(points.steps.size() == 1);
  CHECK(points.steps[0].requests_per_rank == 64);
  CHECK(points.steps[0].decoding(0.02) == 32);
  CHECK(points.steps[0].decoding(0.06) == 48);
  CHECK(points.steps[0].decoding(1e-9) == 1);
  CHECK_THROWS_WITH(read(folder, header + row + "soon\n"),
                    Catch::Contains(":3:silicon_ttft_ms: \"soon\" is not a finite number"));
}

TEST_CASE("rows that are no step are counted by reason", "[calibrate][unit]") {
  const test::TemporaryFolder folder;
  const std::string net = "lab/Net,b200_sxm,trtllm,1.2,fp8,";
  const StepPoints points =
      read(folder, k_header + net + "agg,1024,1024,64,,,,,,,20\n" +       // prompts in between
                       net + "disagg,1024,1024,64,,1,1,8,1,8,20\n" +      // workers unknown
                       net + "disagg,1024,1024,,1,1,1,8,1,8,20\n" +       // concurrency unknown
                       net + "disagg,1024,1024,64,1,1,2,8,1,8,20\n" +     // pipeline
                       net + "disagg,1024,1024,64,1,8,1,1,1,8,20\n" +     // tensor-parallel
                       net + "disagg,1024,1024,64,1,1,1,8,8,1,20\n" +     // sliced experts
                       net + "disagg,1024,1024,64,1,1,1,8,1,4,20\n" +     // two expert groups
                       net + "disagg,1024,1024,64,1,1,1,8,1,8,20\n" +     // a step
                       net + "disagg,1024,1024,64,1,1,1,8,1,8,20.02\n" +  // the same again
                       net + "disagg,1024,1024,64,1,1,1,8,1,8,21\n");     // another run
  CHECK(points.steps.size() == 2);
  std::int64_t skipped = 0;
  for (const auto& [reason, rows] : points.skipped) {
    CAPTURE(reason);
    CHECK(rows == (reason.starts_with("decode workers or concurrency") ? 2 : 1));
    skipped += rows;
  }
  CHECK(points.skipped.size() == 7);
  CHECK(points.steps.size() + static_cast<std::size_t>(skipped) == 10);
}

TEST_CASE("a speculative row is no step", "[calibrate][unit]") {
  const test::TemporaryFolder folder;
  std::string header = k_header;
  header.insert(header.size() - 1, ",speculative");
  const std::string row = "lab/Net,b200_sxm,trtllm,1,fp8,disagg,1024,1024,64,1,1,1,8,1,8,";
  const StepPoints points =
      read(folder, header + row + "20,\n" + row + "30,none\n" + row + "10,mtp\n");
  CHECK(points.steps.size() == 2);
  CHECK(points.skipped.size() == 1);
}

TEST_CASE("cells that are no numbers name file, row and column", "[calibrate][unit]") {
  const test::TemporaryFolder folder;
  const std::string row = "lab/Net,b200_sxm,trtllm,1,fp8,disagg,";
  const std::string at = folder.file("points.csv") + ":3:";
  CHECK_THROWS_WITH(read(folder, k_header + row + "1024,1024,64,1,1,1,8,1,8,fast\n"),
                    at + "silicon_tpot_ms: \"fast\" is not a finite number");
  CHECK_THROWS_WITH(read(folder, k_header + row + "1024,1024,64,1,1,1,8,1,8,-1\n"),
                    at + "silicon_tpot_ms: \"-1\" must be greater than 0");
  CHECK_THROWS_WITH(read(folder, k_header + row + "1024,1024,64,1,1,1,8.5,1,8,20\n"),
                    at + "decode_attention_dp_size: \"8.5\" is not a whole number");
  CHECK_THROWS_WITH(read(folder, k_header + row + ",1024,64,1,1,1,8,1,8,20\n"),
                    at + "isl: \"\" is empty; this row needs a count");
  CHECK_THROWS_WITH(read(folder, "a,b\n1,2\n"),
                    Catch::Contains("points.csv: no column \"backend\"; there are: a, b"));
  CHECK_THROWS_WITH(read(folder, k_header), Catch::Contains("has no rows below its header"));
}
