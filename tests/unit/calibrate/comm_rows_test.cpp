#include "calibrate/tables/comm_rows.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "sim/core/error.h"
#include "sim/core/output_file.h"
#include "tests/support/temporary_folder.h"

namespace moesim {
namespace {

using Catch::Matchers::Contains;

// Reads one table of an H100.
CommRows read(const std::string& name, const std::string& text) {
  const test::TemporaryFolder folder;
  std::filesystem::create_directory(folder.path() / "h100_sxm");
  write_text_file(folder.file("h100_sxm/" + name), text);
  const std::vector<std::string> profiles(1, MOESIM_SOURCE_DIR "/models/comm/profiles");
  return read_comm_rows(folder.path().string(), load_comm_profiles(profiles));
}

CommRows nccl(const std::string& rows) {
  return read("nccl-2.27.3.csv",
              "op_name,nccl_dtype,num_gpus,message_elements,latency_ms\n" + rows);
}

CommRows deepep(const std::string& rows) {
  return read("deepep_ll__sglang-0.5.12.csv",
              "node_num,num_token,hidden_size,num_experts,num_topk,dispatch_avg_t_us,"
              "combine_avg_t_us\n" +
                  rows);
}

}  // namespace

TEST_CASE("sizes that no machine has are refused with file, row and column", "[calibrate][unit]") {
  CHECK(nccl("all_reduce,half,8,1048576,0.05\n").rows.size() == 1);
  for (const char* ranks : {"0", "1", "-8", "1e30", "8.5", "nan", ""}) {
    CAPTURE(ranks);
    CHECK_THROWS_WITH(nccl("all_reduce,half,8,1048576,0.05\nall_reduce,half," + std::string(ranks) +
                           ",1048576,0.05\n"),
                      Contains("nccl-2.27.3.csv:3:num_gpus") && Contains("whole number from 2 to"));
  }
  for (const char* elements : {"0", "-1048576", "1e30"}) {
    CHECK_THROWS_WITH(nccl("all_reduce,half,8," + std::string(elements) + ",0.05\n"),
                      Contains(":2:message_elements"));
  }
  CHECK_THROWS_WITH(nccl("all_reduce,half,8,1048576,-0.05\n"), Contains(":2:latency_ms"));
  // A benchmark that failed is counted.
  CHECK(nccl("all_reduce,half,8,1048576,0\n").skipped.front().first == "time is not positive");
}

TEST_CASE("an all-to-all has nodes, tokens and experts for its choices", "[calibrate][unit]") {
  CHECK(deepep("1,128,7168,256,8,90,150\n").rows.size() == 2);
  CHECK_THROWS_WITH(deepep("0,128,7168,256,8,90,150\n"), Contains(":2:node_num"));
  CHECK_THROWS_WITH(deepep("1,0,7168,256,8,90,150\n"), Contains(":2:num_token"));
  CHECK_THROWS_WITH(deepep("1,128,-7168,256,8,90,150\n"), Contains(":2:hidden_size"));
  CHECK_THROWS_WITH(deepep("1,128,7168,0,8,90,150\n"), Contains(":2:num_experts"));
  CHECK_THROWS_WITH(deepep("16,128,7168,8,8,90,150\n"), Contains(":2:num_experts"));
  CHECK_THROWS_WITH(deepep("1,128,7168,4,8,90,150\n"), Contains(":2:num_topk"));
}

TEST_CASE("times in another unit than their column's show beside the links", "[calibrate][unit]") {
  const std::string microseconds =  // as milliseconds
      "all_reduce,half,8,1048576,50\nall_reduce,half,8,4194304,80\nall_gather,half,8,1048576,60\n";
  CHECK_THROWS_WITH(nccl(microseconds),
                    Contains("nccl-2.27.3.csv:2") && Contains("longer") && Contains("unit"));
  const std::string seconds =
      "all_reduce,half,8,268435456,0.002\nall_reduce,half,8,268435456,0.002\n"
      "all_gather,half,8,268435456,0.002\n";
  CHECK_THROWS_WITH(nccl(seconds), Contains("nccl-2.27.3.csv:2") && Contains("shorter"));
  CHECK_THROWS_WITH(nccl("all_reduce,half,8,1048576,50000\n"), Contains("this row takes"));
}

namespace {

CommRows points(const std::string& rows) {
  return read("whatever.csv",
              "source,hardware,nic,gpus_per_node,nodes,ranks,backend,mode,phase,tokens_per_rank,"
              "hidden,topk,experts,dtype,num_sms,time_us,bw_GBps,bw_kind\n" +
                  rows);
}

}  // namespace

// 4096 tokens to 4 of 4 nodes: with 8 of 256 experts a token misses a node with C(192,8)/C(256,8) =
// 0.0957, so 3.617 copies of 2 x 7168 bytes, 212.4 MB of the RDMA leg. At 50 GB/s: 4.248 ms.
TEST_CASE("published points are known by their header, and say which bytes they count",
          "[calibrate][unit]") {
  const CommRows table = points(
      "a,H100 SXM,ConnectX-7,8,4,32,DeepEP,HT,dispatch,4096,7168,8,256,bf16,,,50,RDMA leg\n"
      "a,H100,ConnectX-7,8,2,16,UCCL,LL,combine,128,7168,8,256,bf16,,,100,total\n"
      "a,B200,8x400G EFA per node,8,2,16,DeepEP V2,V2,dispatch+combine,128,7168,8,256,"
      "\"fp8 dispatch, bf16 combine\",64,466.7,,logical payload\n"
      "a,B200,8x400G EFA per node,8,2,16,DeepEP,HT,dispatch+combine,128,7168,8,256,bf16,,,9,x\n"
      "a,H100,CX7,8,2,16,NCCL,nccl a2a,alltoall,,7168,8,256,,,,105,bus bandwidth\n"
      "a,TPU v9,ICI,8,2,16,X,HT,dispatch,128,7168,8,256,bf16,,10,,x\n");
  CHECK(table.read == 6);
  REQUIRE(table.rows.size() == 3);
  CHECK(table.rows[0].seconds == Approx(4.248e-3).epsilon(1e-3));
  CHECK(table.rows[0].all_to_all.algorithm == "deepep_normal");
  CHECK(table.rows[0].group == "alltoall/dispatch/deepep-HT/h100_sxm/bfloat16");
  // 128 x 8 copies of 14,336 bytes at 100 GB/s.
  CHECK(table.rows[1].seconds == Approx(146.8e-6).epsilon(1e-3));
  CHECK(table.rows[1].all_to_all.algorithm == "deepep_low_latency.uccl");
  CHECK(table.rows[2].fabric == "efa");
  CHECK(table.rows[2].back);
  CHECK(table.rows[2].all_to_all.dtype == "fp8");
  CHECK(table.rows[2].combine.volume.nic_bytes > 1.5 * table.rows[2].all_to_all.volume.nic_bytes);
  CHECK(table.skipped.size() == 3);
  CHECK_THROWS_WITH(
      points("a,H100,CX7,8,3,16,DeepEP,HT,dispatch,128,7168,8,256,bf16,,10,,RDMA leg\n"),
      Contains("whatever.csv:2:ranks") && Contains("no multiple of nodes"));
}

}  // namespace moesim
