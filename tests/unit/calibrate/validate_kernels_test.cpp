#include "calibrate/validate/validate_kernels.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "kernel_data.h"

using namespace moesim;

namespace {

const std::vector<std::string> shipped(1, MOESIM_SOURCE_DIR "/models/profiles");

std::int64_t skipped_rows(const ValidationReport& report, std::string_view prefix) {
  std::int64_t rows = 0;
  for (const auto& [reason, n] : report.skipped) {
    rows += reason.starts_with(prefix) ? n : 0;
  }
  return rows;
}

// Five files: 4 + 1 GEMM rows (one in a format that we do not model, one impossible), 2 of a
// collective, 2 of an unknown system, 3 of a MoE kernel, one of them with an unknown load.
void write_folder(const test::MeasurementFolder& folder) {
  const std::string gemm = "# source: made\nkernel_source,gemm_dtype,m,n,k,latency_ms\n";
  folder.write("h100_sxm/gemm__trtllm-9.csv", gemm +
                                                  "torch_flow,bfloat16,128,4096,4096,0.02\n"
                                                  "torch_flow,bfloat16,256,4096,4096,0.03\n"
                                                  "torch_flow,fp8,256,4096,4096,0.03\n"
                                                  "torch_flow,w7a3,256,4096,4096,0.03\n");
  folder.write("h100_sxm/gemm__vllm-9.csv", gemm + "x,bfloat16,32768,32768,32768,1.0\n");
  folder.write("h100_sxm/nccl-2.csv", "op_name,latency_ms\nall_gather,0.1\nall_gather,0.2\n");
  folder.write("mystery/gemm__trtllm-9.csv",
               gemm + "x,bfloat16,1,64,64,0.1\nx,bfloat16,2,64,64,0.1\n");
  folder.write("h100_sxm/moe__sglang-9.csv",
               "kernel_source,moe_dtype,num_tokens,hidden_size,inter_size,topk,num_experts,"
               "moe_tp_size,moe_ep_size,distribution,latency_ms\n"
               "k,fp8_block,64,7168,2048,8,256,1,32,balanced,0.2\n"
               "k,fp8_block,64,7168,2048,8,256,1,32,power_law_1.2,0.2\n"
               "k,fp8_block,64,7168,2048,8,256,1,32,zipf,0.2\n");
}

}  // namespace

TEST_CASE("every row read is either judged or skipped with a reason", "[calibrate][unit]") {
  const test::MeasurementFolder folder("sums");
  write_folder(folder);
  const ValidationReport report = validate_kernels(folder.path(), shipped, test::measured_device);
  std::int64_t judged = 0;
  for (const ValidationGroup& group : report.groups) {
    judged += group.n;
  }
  std::int64_t skipped = 0;
  for (const auto& [reason, n] : report.skipped) {
    skipped += n;
  }
  CHECK(report.rows_read == 4 + 1 + 2 + 2 + 3);
  CHECK(judged + skipped == report.rows_read);
  CHECK(judged == 5);
  CHECK(skipped_rows(report, "format not modelled: w7a3") == 1);
  CHECK(skipped_rows(report, "faster than the device") == 1);
  CHECK(skipped_rows(report, "not a kernel file: nccl") == 2);
  CHECK(skipped_rows(report, "no spec sheet of the system: mystery") == 2);
  CHECK(skipped_rows(report, "expert distribution not simulated: zipf") == 1);
}

TEST_CASE("the visitor sees each judged row with its place", "[calibrate][unit]") {
  const test::MeasurementFolder folder("points");
  write_folder(folder);
  std::map<std::string, std::int64_t> rows;
  std::map<std::string, std::int64_t> inside;
  std::vector<std::string> places;
  const PointVisitor visit = [&](const JudgedPoint& point) {
    ++rows[std::string(point.group)];
    inside[std::string(point.group)] += inside_p10_p90(point) ? 1 : 0;
    CHECK(point.dims.size() == point.dim_names.size());
    CHECK(point.sigma > 0);
    const auto name = point.file.substr(point.file.find_last_of('/') + 1);
    places.push_back(std::string(name) + ":" + std::to_string(point.line) + " " +
                     std::string(point.dim_names[0]) + "=" +
                     std::to_string(static_cast<int>(point.dims[0])));
  };
  const ValidationReport report = validate_kernels(folder.path(), shipped, test::measured_device,
                                                   {.progress = {}, .visit = visit});
  for (const ValidationGroup& group : report.groups) {
    CHECK(rows.at(group.name) == group.n);
    CHECK(group.inside_p10_p90 ==
          Approx(static_cast<double>(inside.at(group.name)) / static_cast<double>(group.n)));
  }
  // Lines count the comment and the header; skipped rows are not seen.
  CHECK(places ==
        std::vector<std::string>{"gemm__trtllm-9.csv:3 m=128", "gemm__trtllm-9.csv:4 m=256",
                                 "gemm__trtllm-9.csv:5 m=256", "moe__sglang-9.csv:2 tokens=64",
                                 "moe__sglang-9.csv:3 tokens=64"});
}

TEST_CASE("groups are named by operation, framework, system and format", "[calibrate][unit]") {
  const test::MeasurementFolder folder("names");
  write_folder(folder);
  folder.write("h100_sxm/generation_attention__trtllm-9.csv",
               "kernel_source,batch_size,isl,num_heads,num_key_value_heads,head_dim,attn_dtype,"
               "kv_cache_dtype,step,latency_ms\nk,8,1,32,4,128,bfloat16,fp8,1023,0.02\n");
  folder.write("h100_sxm/context_mla__sglang-9.csv",
               "kernel_source,mla_dtype,kv_cache_dtype,num_heads,batch_size,isl,tp_size,step,"
               "latency_ms\nk,bfloat16,bfloat16,128,1,1024,1,0,0.3\n");
  const ValidationReport report = validate_kernels(folder.path(), shipped, test::measured_device);
  std::vector<std::string> names;
  for (const ValidationGroup& group : report.groups) {
    names.push_back(group.name);
    CHECK(group.n > 0);
    CHECK(group.extrapolated == 0);
    CHECK(group.profiles.size() == 1);
  }
  CHECK(names == std::vector<std::string>{"attention/trtllm/h100_sxm/generation_bf16/d128",
                                          "gemm/trtllm/h100_sxm/bf16", "gemm/trtllm/h100_sxm/fp8",
                                          "mla/sglang/h100_sxm/context_bf16",
                                          "moe/sglang/h100_sxm/fp8_block"});
}

// 2*256*4096*4096 FLOP at 989e12/s take 8.686 us, 37.7 MB at 3.35 TB/s take 11.27 us: the naive
// roofline says 11.27 us of 30, an error of 0.624.
TEST_CASE("the baseline is the spec sheet's roofline", "[calibrate][unit]") {
  const test::MeasurementFolder folder("naive");
  folder.write(
      "h100_sxm/gemm__trtllm-9.csv",
      "kernel_source,gemm_dtype,m,n,k,latency_ms\ntorch_flow,bfloat16,256,4096,4096,0.03\n");
  const ValidationReport report = validate_kernels(folder.path(), shipped, test::measured_device);
  REQUIRE(report.groups.size() == 1);
  CHECK(report.groups[0].naive_median_ape == Approx(0.62444).epsilon(1e-4));
  CHECK(report.groups[0].median_ape == Approx(std::abs(report.groups[0].mean_signed_error)));
}

TEST_CASE("the report is one JSON document with the agreed keys", "[calibrate][unit]") {
  const test::MeasurementFolder folder("json");
  write_folder(folder);
  const auto json = nlohmann::json::parse(
      validation_json(validate_kernels(folder.path(), shipped, test::measured_device)));
  for (const auto& group : json.at("groups")) {
    for (const char* key :
         {"name", "n", "median_ape", "p90_ape", "mean_signed_error", "inside_p10_p90"}) {
      CHECK(group.contains(key));
    }
    CHECK(group.at("baseline").contains("naive_median_ape"));
  }
  CHECK(json.at("skipped").at(0).contains("reason"));
  CHECK(json.at("skipped").at(0).contains("n"));
}

TEST_CASE("a folder is one system's or the parent of several", "[calibrate][unit]") {
  const test::MeasurementFolder folder("levels");
  write_folder(folder);
  const auto all = validate_kernels(folder.path(), shipped, test::measured_device);
  const auto one = validate_kernels(folder.path() + "/h100_sxm", shipped, test::measured_device);
  CHECK(one.groups.size() == all.groups.size());
  CHECK(one.rows_read == all.rows_read - 2);
}
