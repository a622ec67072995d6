// Measured kernels that see some keys only, and those that are known by their counted work.
#include <catch2/catch.hpp>

#include "calibrate/tables/kernel_rows.h"
#include "kernel_row_checks.h"
#include "sim/core/error.h"

using namespace moesim;
using namespace moesim::test;

TEST_CASE("windows are rows of groups of their own", "[calibrate][unit]") {
  const std::string columns =
      "kernel_source,batch_size,isl,num_heads,num_key_value_heads,head_dim,window_size,attn_dtype,"
      "kv_cache_dtype,step,latency_ms\n";
  const KernelRows decode = rows_of("h100_sxm/generation_attention__trtllm-9.csv",
                                    columns +
                                        "flow,8,1,64,8,128,1024,bfloat16,bfloat16,4095,0.04\n"
                                        "flow,8,1,64,8,128,4096,bfloat16,bfloat16,4095,0.05\n"
                                        "flow,8,1,64,8,128,0,bfloat16,bfloat16,4095,0.05\n");
  check_row(decode, 0, "attention_window_decode/bf16", {8, 1, 4096, 64, 8, 128, 1024}, 4e-5);
  // A window that holds all keys is none.
  check_row(decode, 1, "attention_decode/bf16", {8, 1, 4096, 64, 8, 128}, 5e-5);
  CHECK(decode.groups ==
        std::vector<std::string>{"attention/trtllm/h100_sxm/generation_bf16/d128/w1024",
                                 "attention/trtllm/h100_sxm/generation_bf16/d128"});
  CHECK(decode.rows[2].group == decode.rows[1].group);
  const KernelRows prefill = rows_of("h100_sxm/context_attention__trtllm-9.csv",
                                     columns + "flow,2,8192,64,8,128,128,bfloat16,fp8,0,0.9\n");
  check_row(prefill, 0, "attention_window_context/bf16-fp8", {2, 8192, 8192, 64, 8, 128, 128},
            9e-4);
}

TEST_CASE("sparse attention and its indexer are counted", "[calibrate][unit]") {
  const KernelRows logits = rows_of("dsa__decode__h800__logits-64-128.csv",
                                    "batchsize,next_n,s_kv,latency_us,mfu\n64,2,8192,37.7,0.23\n");
  const double pairs = 64 * (8191 + 8192);
  check_row(
      logits, 0, "indexer_decode/fp8",
      {64, 2, 8192, 64, 2 * pairs * 64 * 128, 64 * 8192 * (128 + 4) + pairs * 4 + 128 * 64 * 128},
      37.7e-6);
  // The published utilisation of the peak, to its three digits.
  CHECK(logits.rows[0].shape.dims[dim::flops] / 37.714e-6 / 1979e12 == Approx(0.23).margin(5e-4));
  const KernelRows chosen = rows_of("dsa__prefill__h800__attn-128-576-2048.csv",
                                    "dtype,s_q,s_kv,latency_us,mfu\nbf16,4096,8192,3632.94,0.65\n");
  const double products = 2.0 * 128 * 4096 * 2048 * (576 + 512);
  check_row(chosen, 0, "sparse_context/bf16", {1, 4096, 8192, 128, products}, 3632.94e-6);
  CHECK(chosen.rows[0].shape.dims[dim::computed] == products);
  CHECK(skipped(rows_of("dsa__decode__h800__other-1-2.csv", "batchsize\n1\n2\n")) == 2);
  check_error("dsa__prefill__h800__attn-128-576-2048.csv",
              "dtype,s_q,s_kv,latency_us,mfu\nbf16,4096,1024,3632.94,0.65\n", "s_q",
              "more than the keys");
}

TEST_CASE("a gated delta net's line has two times", "[calibrate][unit]") {
  const KernelRows decode = rows_of("gdn__decode__h20__4-16-128-32-128.csv",
                                    "batchsize,conv,gdn_update\n1024,159,1914\n");
  const double channels = 2 * 16 * 128 + 32 * 128;
  check_row(decode, 0, "convolution_decode/bf16",
            {1024, 1, 1, channels, 2 * 1024 * channels * 4, 2 * 1024 * channels * (2 + 2 * 3)},
            159e-6);
  check_row(decode, 1, "linear_decode/bf16",
            {1024, 1, 1, 32, 6.0 * 1024 * 32 * 128 * 128,
             1024.0 * (2 * 32 * 128 * 128 * 4 + 32 * 2 * 256 * 2)},
            1914e-6);
  const KernelRows prefill = rows_of("gdn__prefill__h20__4-16-128-32-128.csv",
                                     "seq_len,conv,kkt,tril,wu,chunk_gdn,chunk_o\n"
                                     "4096,65,45,86,79,188,129\n");
  REQUIRE(prefill.rows.size() == 2);
  check_row(prefill, 1, "linear_context/bf16", {1, 4096, 4096, 32}, 527e-6);
}

TEST_CASE("a gated delta net's file under a wrong name is no measurement", "[calibrate][unit]") {
  const test::MeasurementFolder folder("copied");
  const std::string text = "# source: made (MIT)\nbatchsize,conv,gdn_update\n8,10,70\n";
  folder.write("gdn__decode__h20__4-16-128-32-128.csv", text);
  folder.write("gdn__decode__h20__4-16-128-64-128.csv", text);
  LoadGenerator loads(1);
  const auto files = measured_files(folder.path());
  REQUIRE(files.size() == 2);
  const KernelRows first = read_kernel_rows(files[0], test::measured_device, loads);
  CHECK(first.rows.size() == 2);
  CHECK(skipped(first) == 0);
  const KernelRows copy = read_kernel_rows(files[1], test::measured_device, loads);
  CHECK(copy.rows.empty());
  CHECK(skipped(copy) == 1);
}
