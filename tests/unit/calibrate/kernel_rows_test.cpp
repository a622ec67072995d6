// Every measured layout: a small made-up file, and the shape and time that it must become.
#include "calibrate/tables/kernel_rows.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <numeric>

#include "kernel_row_checks.h"
#include "sim/core/error.h"

using namespace moesim;
using namespace moesim::test;
using Catch::Matchers::Contains;

namespace {

const std::string expert_columns =
    "kernel_source,moe_dtype,num_tokens,hidden_size,inter_size,topk,num_experts,moe_tp_size,"
    "moe_ep_size,distribution,latency_ms\n";

}  // namespace

TEST_CASE("file names say layout, device, framework and version", "[calibrate][unit]") {
  struct Name {
    std::string path;
    std::string layout, operation, system, framework, version, subject;
  };
  const test::MeasurementFolder folder("layout_names");
  const std::vector<Name> names{
      {"a/h100_sxm/gemm__trtllm-1.3.0rc20.csv", "main", "gemm", "h100_sxm", "trtllm", "1.3.0rc20",
       ""},
      {"b/gemm__h20.csv", "infersim", "gemm", "h20", "infersim", "", ""},
      {"b/grouped_gemm__decode__h800.csv", "infersim", "grouped_gemm_decode", "h800_sxm",
       "infersim", "", ""},
      {"b/mha__prefill__h20__32-8-128.csv", "infersim", "mha_prefill", "h20", "infersim", "",
       "32-8-128"},
      {"c/rtxpro6000__qwen3-30b-a3b__tp1__moe.csv", "llmservingsim", "moe", "rtx_pro_6000_server",
       "llmservingsim", "", "qwen3-30b-a3b/tp1"},
      {"d/a800/qwen3-30b-a3b__moe.csv", "frontier", "moe", "a800_sxm", "frontier", "",
       "qwen3-30b-a3b"},
      {"e/a100__Meta-Llama-3-8B__mlp.csv", "vidur", "mlp", "a100_sxm", "vidur", "",
       "Meta-Llama-3-8B"},
      {"f/a100_dgx__all_reduce.csv", "", "a100_dgx", "", "", "", ""}};
  for (const Name& name : names) {
    folder.write(name.path, "x\n1\n");
  }
  const auto files = measured_files(folder.path());
  REQUIRE(files.size() == names.size());
  for (const Name& name : names) {
    CAPTURE(name.path);
    const auto found = std::ranges::find_if(
        files, [&](const MeasuredFile& file) { return file.path.ends_with(name.path); });
    REQUIRE(found != files.end());
    CHECK(found->layout == name.layout);
    CHECK(found->operation == name.operation);
    CHECK(found->system == name.system);
    CHECK(found->framework == name.framework);
    CHECK(found->version == name.version);
    CHECK(found->subject == name.subject);
  }
}

// The rank holds 64 of 256 experts. 4 tokens with 8 pairs each, over 4 ranks, leave 8 pairs here;
// 512 tokens leave 512 * 8 / 256 = 16 for every expert.
TEST_CASE("the masked layout holds the rank's pairs", "[calibrate][unit]") {
  const KernelRows table = rows_of("h100_sxm/wideep_generation_moe__sglang-9.csv",
                                   expert_columns +
                                       "deepepmoe,fp8_block,4,7168,2048,8,256,1,4,uniform,0.18\n"
                                       "deepepmoe,fp8_block,512,7168,2048,8,256,1,4,uniform,1.0\n");
  check_row(table, 0, "moe/fp8_block/masked", {8, 8, 7168, 2048, 64, 256, 3, 8, 8, 8, 8, 1},
            0.18e-3);
  check_row(table, 1, "moe/fp8_block/masked",
            {1024, 8, 7168, 2048, 64, 256, 3, 1024, 64, 64, 64, 16}, 1e-3);
  CHECK(table.sources == std::vector<std::string>{"masked:deepepmoe"});
  CHECK(table.groups == std::vector<std::string>{"moe/sglang/h100_sxm/fp8_block/masked"});
}

// 16 pairs per expert share blocks of 128 rows, so that the benchmark read one expert's weights for
// eight; 128 per expert fill their blocks.
TEST_CASE("balanced groups of the contiguous layout must fill their blocks", "[calibrate][unit]") {
  const KernelRows table =
      rows_of("h100_sxm/wideep_context_moe__sglang-9.csv",
              expert_columns +
                  "deepepmoe,fp8_block,512,7168,2048,8,256,1,4,uniform,0.39\n"
                  "deepepmoe,fp8_block,4096,7168,2048,8,256,1,4,uniform,1.56\n"
                  "deepepmoe,fp8_block,512,7168,2048,8,256,1,4,power_law_1.2,1.4\n");
  REQUIRE(table.rows.size() == 2);
  check_row(table, 0, "moe/fp8_block/contiguous",
            {4096, 8, 7168, 2048, 64, 256, 3, 8192, 64, 128, 64, 128}, 1.56e-3);
  CHECK(table.rows[0].checkable);
  CHECK_FALSE(table.rows[1].checkable);
  CHECK(skipped(table) == 1);
}

TEST_CASE("the benchmark of DeepSeek-V3's shape routes by groups", "[calibrate][unit]") {
  const std::string row = "k,fp8_block,1024,7168,2048,8,256,1,32,balanced,0.7\n";
  const auto pairs = [&](const std::string& file, const std::string& rows) {
    return rows_of(file, expert_columns + rows).rows.at(0).shape.dims[dim::pairs];
  };
  // 8 experts of the first group: a quarter of one choice, and the four lost ones of every token.
  CHECK(pairs("h100_sxm/moe__sglang-9.csv", row) == Approx(4.25 * 1024));
  CHECK(pairs("h100_sxm/moe__vllm-9.csv", row) == Approx(4.25 * 1024));
  CHECK(pairs("h100_sxm/moe__trtllm-9.csv", row) == Approx(0.25 * 1024));
  CHECK(pairs("h100_sxm/moe__sglang-9.csv",
              "k,fp8_block,1024,6144,2048,8,256,1,32,balanced,0.7\n") == Approx(0.25 * 1024));
}

TEST_CASE("wide expert parallelism takes the recorded tokens", "[calibrate][unit]") {
  const std::string header =
      "op_name,kernel_source,moe_dtype,moe_kernel,num_tokens,dp_num_tokens,rank0_num_tokens,"
      "hidden_size,inter_size,topk,num_experts,num_slots,moe_tp_size,moe_ep_size,distribution,"
      "simulation_mode,latency_ms\n";
  const std::string start = "wideep_moe,cutlass,fp8_block,cutlass,";
  const KernelRows table = rows_of(
      "h100_sxm/wideep_moe__trtllm-9.csv",
      header + start + "8192,512,2000,7168,2048,8,256,288,1,16,power_law_1.2_eplb,accurate,0.7\n" +
          start + "8192,512,4000,7168,2048,8,256,256,1,16,power_law_1.2,accurate,0.9\n" + start +
          "8192,512,4000,7168,2048,8,256,256,1,16,power_law_1.2,simple,0.9\n");
  REQUIRE(table.rows.size() == 2);
  CHECK(skipped(table) == 1);
  // 288 places over 16 ranks; evened out, a rank gets close to 65,536 / 16 pairs.
  check_row(table, 0, "moe/fp8_block", {2000, 8, 7168, 2048, 18, 256, 3}, 0.7e-3);
  CHECK(table.rows[0].shape.dims[dim::pairs] == Approx(4096).epsilon(0.35));
  check_row(table, 1, "moe/fp8_block", {4000, 8, 7168, 2048, 16, 256, 3}, 0.9e-3);
  // A token has one to eight pairs on the rank.
  for (const KernelRow& row : table.rows) {
    CHECK(row.shape.dims[dim::pairs] >= row.shape.dims[dim::tokens] * 0.999);
    CHECK(row.shape.dims[dim::pairs] <= row.shape.dims[dim::tokens] * 8);
    CHECK(row.shape.dims[dim::touched] <= row.shape.dims[dim::local_experts]);
    CHECK_FALSE(row.checkable);
  }
}

TEST_CASE("a shared expert is one dense FFN", "[calibrate][unit]") {
  const KernelRows table =
      rows_of("h100_sxm/wideep_context_mlp__sglang-9.csv",
              "kernel_source,quant_type,num_token,hidden_size,intermediate_size,latency_ms\n"
              "deepseek_v3,fp8_block,130,7168,2048,0.03\n");
  check_row(table, 0, "mlp/fp8_block", {130, 1, 7168, 2048, 1, 1, 3, 130, 1, 3, 2, 130}, 3e-5);
  CHECK(table.groups == std::vector<std::string>{"mlp/sglang/h100_sxm/fp8_block"});
}

TEST_CASE("an MLA module has its projections' format and widths", "[calibrate][unit]") {
  const std::string header =
      "kernel_source,model,architecture,mla_dtype,kv_cache_dtype,gemm_type,num_heads,batch_size,"
      "isl,tp_size,step,latency_ms\n";
  const KernelRows context =
      rows_of("h100_sxm/mla_context_module__trtllm-9.csv",
              header +
                  "default,deepseek-ai/DeepSeek-V3,D,bfloat16,fp8,fp8_block,32,4,1024,1,512,0.6\n"
                  "default,somebody/Else,D,bfloat16,fp8,fp8_block,32,4,1024,1,0,0.6\n");
  check_row(context, 0, "mla_module_context/fp8_block-fp8",
            {4, 1024, 1536, 32, 512, 64, 128, 128, 7168, 1536}, 0.6e-3);
  CHECK(context.groups == std::vector<std::string>{"mla/trtllm/h100_sxm/context_module_fp8_block"});
  CHECK(skipped(context) == 1);
  const KernelRows decode = rows_of(
      "h100_sxm/mla_generation_module__vllm-9.csv",
      header + "x,deepseek-ai/DeepSeek-V3,D,bfloat16,bfloat16,bfloat16,16,8,1,1,4095,0.2\n");
  check_row(decode, 0, "mla_module_decode/bf16", {8, 1, 4096, 16, 512, 64, 128, 128, 7168, 1536},
            0.2e-3);
}

// 2 * 256 * 4096 * 4096 FLOP in 58.05 us are half of 296 TFLOP/s: fp8 on an H20.
TEST_CASE("utilisation tells the format of a product", "[calibrate][unit]") {
  const KernelRows fp8 =
      rows_of("gemm__h20.csv", "m,k,n,latency_us,mfu\n256,4096,2048,29.02,0.5\n");
  check_row(fp8, 0, "gemm/fp8_block", {256, 2048, 4096, 1}, 29.02e-6);
  CHECK(fp8.file.version == "0123456");
  const KernelRows bf16 =
      rows_of("gemm__h20.csv", "m,k,n,latency_us,mfu\n256,4096,2048,58.05,0.5\n");
  check_row(bf16, 0, "gemm/bf16", {256, 2048, 4096, 1}, 58.05e-6);
  const KernelRows neither =
      rows_of("gemm__h20.csv", "m,k,n,latency_us,mfu\n256,4096,2048,290.2,0.5\n");
  CHECK(neither.rows.empty());
  CHECK(skipped(neither) == 1);
}

TEST_CASE("SGLang on FlashAttention-3 absorbs its prefill and converts narrow caches",
          "[calibrate][unit]") {
  const std::string header =
      "kernel_source,mla_dtype,kv_cache_dtype,num_heads,batch_size,isl,tp_size,step,latency_ms\n";
  const auto family = [&](const char* file, const char* row) {
    return family_name(rows_of(file, header + row).rows.at(0).shape.key);
  };
  const char* context = "h100_sxm/context_mla__sglang-9.csv";
  const char* decode = "h100_sxm/generation_mla__sglang-9.csv";
  CHECK(family(context, "flash_attention,bfloat16,bfloat16,128,1,4096,1,0,3.8\n") ==
        "mla_context/bf16/absorbed");
  CHECK(family(context, "flash_attention,bfloat16,fp8,128,1,4096,1,0,3.8\n") ==
        "mla_context/bf16-fp8/absorbed/converted");
  CHECK(family(decode, "flash_attention,bfloat16,fp8,128,1,1,1,4095,0.1\n") ==
        "mla_decode/bf16-fp8/converted");
  CHECK(family(decode, "flash_attention,bfloat16,bfloat16,128,1,1,1,4095,0.1\n") ==
        "mla_decode/bf16");
  CHECK(family("h100_sxm/context_mla__trtllm-9.csv", "default,bfloat16,fp8,128,1,4096,1,0,1.3\n") ==
        "mla_context/bf16-fp8");
}

// 8 experts with 128 rows of 2048 x 768 (gate and up: 1536 columns): 6.442 GFLOP and 3.221 GFLOP.
// At half of 296 TFLOP/s they take 43.53 and 21.77 us.
TEST_CASE("both grouped products are one row of experts", "[calibrate][unit]") {
  const std::string header =
      "num_experts,num_gpus,num_local_experts,topk,hidden_size,intermediate_size,"
      "batch_size_per_gpu,tokens_per_expert,up_proj_us,up_mfu,down_proj_us,down_mfu\n";
  const KernelRows table = rows_of("grouped_gemm__decode__h20.csv",
                                   header +
                                       "128,16,8,8,2048,768,128,128,43.53,0.5,21.77,0.5\n"
                                       "128,16,8,8,2048,768,1,1,8.0,0.002,5.0,0.002\n");
  REQUIRE(table.rows.size() == 2);
  check_row(table, 0, "moe/fp8_block/masked", {1024, 8, 2048, 768, 8, 128, 3}, 65.3e-6);
  CHECK(table.rows[0].products_alone);
  CHECK(table.rows[0].shape.dims[dim::pairs] == Approx(1024).epsilon(1e-3));
  CHECK(table.rows[0].shape.dims[dim::touched] == Approx(8));
  CHECK(table.rows[0].shape.dims[dim::tiles_64] == Approx(20).epsilon(0.05));
  // One row on average: the benchmark cuts 0.7 to 1.3 to whole rows, half of them to none.
  CHECK(table.rows[1].shape.dims[dim::pairs] == Approx(4));
  CHECK(table.rows[1].shape.dims[dim::touched] == Approx(4));
  CHECK_FALSE(table.rows[0].checkable);
}

TEST_CASE("attention widths stand in the file's name", "[calibrate][unit]") {
  const std::string decode = "dtype,kv_dtype,batch_size,kv_len,latency_us,mfu\n";
  check_row(rows_of("mha__decode__h20__32-8-128.csv", decode + "bf16,fp8,16,4096,106,0.07\n"), 0,
            "attention_decode/bf16-fp8", {16, 1, 4096, 32, 8, 128}, 106e-6);
  check_row(rows_of("mla__decode__h800__128-512-64.csv", decode + "bf16,bf16,16,4096,90,0.5\n"), 0,
            "mla_decode/bf16", {16, 1, 4096, 128, 512, 64, 128, 128}, 90e-6);
  const std::string prefill = "dtype,seq_len,latency_us,mfu\n";
  check_row(rows_of("mha__prefill__h20__16-2-256.csv", prefill + "bf16,1024,111,0.5\n"), 0,
            "attention_context/bf16", {1, 1024, 1024, 16, 2, 256}, 111e-6);
  check_row(rows_of("mla__prefill__h800__128-128-64.csv", prefill + "bf16,1024,116,0.4\n"), 0,
            "mla_context/bf16", {1, 1024, 1024, 128, 512, 64, 128, 128}, 116e-6);
  CHECK(skipped(rows_of("mha__decode__h20__32-8.csv", decode + "bf16,fp8,16,4096,106,0.07\n")) ==
        1);
}

TEST_CASE("layers of a served model become products and copies", "[calibrate][unit]") {
  const KernelRows dense = rows_of("rtx4090__llama-3.1-8b__tp2__dense.csv",
                                   "layer,tokens,time_us\n"
                                   "qkv_proj,16,55\no_proj,16,38\ngate_up_proj,16,247\n"
                                   "down_proj,16,126\nlayernorm,16,2\nact_fn,16,3\n"
                                   "rotary_emb,16,2.5\nembedding,16,2.8\nmystery,16,1\n");
  check_row(dense, 0, "gemm/bf16", {16, (16 + 2 * 4) * 128, 4096, 1}, 55e-6);
  check_row(dense, 1, "gemm/bf16", {16, 4096, 16 * 128, 1}, 38e-6);
  check_row(dense, 2, "gemm/bf16", {16, 14336, 4096, 1}, 247e-6);
  check_row(dense, 3, "gemm/bf16", {16, 4096, 7168, 1}, 126e-6);
  check_row(dense, 4, "memory", {16 * 4 * 4096, 16 * 4 * 4096}, 2e-6);
  check_row(dense, 5, "memory", {16 * 4 * 7168, 16 * 2 * 7168}, 3e-6);
  check_row(dense, 6, "memory", {16 * 2 * 20 * 128, 16 * 2 * 20 * 128}, 2.5e-6);
  check_row(dense, 7, "memory", {16 * 2 * 4096, 16 * 2 * 4096}, 2.8e-6);
  CHECK(dense.skipped.at("layer not known: mystery") == 1);
  const KernelRows head = rows_of("rtxpro6000__qwen3-30b-a3b__tp1__per_sequence.csv",
                                  "layer,sequences,time_us\nlm_head,4,420\nsampler,4,10\n");
  check_row(head, 0, "gemm/bf16", {4, 151936, 2048, 1}, 420e-6);
  CHECK(skipped(head) == 1);
  CHECK(skipped(rows_of("rtx4090__unheard-of__tp1__dense.csv",
                        "layer,tokens,time_us\nqkv_proj,1,5\n")) == 1);
}

TEST_CASE("pure prefill and pure decode calls are rows, mixed ones are counted",
          "[calibrate][unit]") {
  const KernelRows table = rows_of("rtxpro6000__qwen3-30b-a3b__tp1__attention.csv",
                                   "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n"
                                   "256,1024,0,0,40\n0,0,8,512,14\n256,0,8,512,50\n");
  check_row(table, 0, "attention_context/bf16", {1, 256, 1280, 32, 4, 128}, 40e-6);
  check_row(table, 1, "attention_decode/bf16", {8, 1, 512, 32, 4, 128}, 14e-6);
  CHECK(table.skipped.at("mixed batch: prefill and decode in one attention call") == 1);
}

TEST_CASE("activated experts share the tokens' pairs", "[calibrate][unit]") {
  const std::string name = "rtxpro6000__qwen3-30b-a3b__tp1__moe.csv";
  const std::string header = "tokens,activated_experts,time_us\n";
  check_row(rows_of(name, header + "256,16,165\n"), 0, "moe/bf16",
            {256, 8, 2048, 768, 128, 128, 3, 2048, 16, 32, 16, 128}, 165e-6);
  check_error(name, header + "1,16,50\n", "moe.csv:3:activated_experts", "expected 8 to 8");
}

TEST_CASE("recorded load statistics become the load", "[calibrate][unit]") {
  const std::string header =
      "num_tokens,num_experts,num_experts_per_device,router_topk,hidden_dim,expert_hidden_dim,"
      "use_gated,num_tensor_parallel_workers,total_routed_tokens,expert_utilization,"
      "max_load_ratio,moe_grouped_gemm_backend,moe_grouped_gemm_median_ms\n";
  const std::string line = "64,128,16,8,2048,768,True,2,60,0.75,2.4,vllm_fused,";
  const KernelRows table =
      rows_of("h800/Qwen3-30B-A3B__moe_kernel_only.csv", header + line + "0.05\n" + line + "\n");
  // 60 pairs on 12 of 16 experts, the busiest with 2.4 * 60 / 16 = 9.
  check_row(table, 0, "moe/bf16", {64, 8, 2048, 384, 16, 128, 3, 60, 12, 12, 12, 9}, 5e-5);
  CHECK(table.sources == std::vector<std::string>{"kernel_only:vllm_fused"});
  CHECK(skipped(table) == 1);
  check_error("h800/Qwen3-30B-A3B__moe.csv",
              header + "64,128,16,8,2048,768,True,2,60,1.75,2.4,vllm_fused,0.1\n",
              "moe.csv:3:expert_utilization", "contradicts");
}

TEST_CASE("operators timed one by one are rows of their own", "[calibrate][unit]") {
  const KernelRows linear =
      rows_of("h800/Phi-tiny-MoE-instruct__linear_op_kernel_only.csv",
              "num_tokens,num_tensor_parallel_workers,n_embd,emb_median_ms,"
              "attn_pre_proj_median_ms,attn_rope_median_ms,attn_post_proj_median_ms\n"
              "8,2,4096,,0.0072,0.0022,0.0041\n");
  REQUIRE(linear.rows.size() == 2);
  check_row(linear, 0, "gemm/bf16", {8, (8 + 2 * 2) * 128, 4096, 1}, 7.2e-6);
  check_row(linear, 1, "gemm/bf16", {8, 4096, 8 * 128, 1}, 4.1e-6);
  CHECK(skipped(linear) == 1);
  const KernelRows vidur =
      rows_of("a100__Meta-Llama-3-8B__mlp.csv",
              "n_head,n_kv_head,n_embd,n_expanded_embd,num_tokens,num_tensor_parallel_workers,"
              "emb_median_ms,input_layernorm_median_ms,attn_pre_proj_median_ms,attn_rope_median_ms,"
              "attn_post_proj_median_ms,post_attention_layernorm_median_ms,mlp_up_proj_median_ms,"
              "mlp_act_median_ms,mlp_down_proj_median_ms,add_median_ms\n"
              "32,8,4096,14336,16,4,0.01,0.02,0.03,0.04,0.05,0.06,0.07,0.08,0.09,0.1\n");
  REQUIRE(vidur.rows.size() == 10);
  check_row(vidur, 6, "gemm/bf16", {16, (8 + 2 * 2) * 128, 4096, 1}, 3e-5);
  check_row(vidur, 7, "gemm/bf16", {16, 4096, 8 * 128, 1}, 5e-5);
  check_row(vidur, 8, "gemm/bf16", {16, 7168, 4096, 1}, 7e-5);
  check_row(vidur, 9, "gemm/bf16", {16, 4096, 3584, 1}, 9e-5);
  check_row(vidur, 5, "memory", {16 * 4 * 3584, 16 * 2 * 3584}, 8e-5);
}

TEST_CASE("equal sequences are attention rows of the known model", "[calibrate][unit]") {
  const KernelRows table =
      rows_of("h800/Qwen3-30B-A3B-tiny__attention_kernel_only.csv",
              "num_tensor_parallel_workers,batch_size,prefill_chunk_size,kv_cache_size,is_prefill,"
              "mode,attn_prefill_median_ms,attn_decode_median_ms\n"
              "2,4,0,96,False,even,0.0,0.0075\n1,1,64,32,True,even,0.011,0.0\n"
              "1,2,0,0,True,true_mixed,0.009,0.007\n");
  check_row(table, 0, "attention_decode/bf16", {4, 1, 96, 16, 2, 128}, 7.5e-6);
  check_row(table, 1, "attention_context/bf16", {1, 64, 96, 32, 4, 128}, 11e-6);
  CHECK(skipped(table) == 1);
}

TEST_CASE("a damaged file of any layout names file, line and column", "[calibrate][unit]") {
  check_error("gemm__h20.csv", "m,k,n,latency_ms,mfu\n1,1,1,1,1\n", "gemm__h20.csv:latency_ms",
              "gives times in us");
  check_error("h100_sxm/gemm__x-1.csv", "kernel_source,gemm_dtype,m,n,k,latency_us\n",
              "gemm__x-1.csv:latency_us", "times in ms");
  check_error("gemm__h20.csv", "m,k,latency_us,mfu\n1,1,1,1\n", "gemm__h20.csv", "no column \"n\"");
  check_error("gemm__h20.csv", "m,k,n,latency_us,mfu\n1,1,1,nan,1\n", "h20.csv:3:latency_us",
              "finite");
  check_error("gemm__h20.csv", "m,k,n,latency_us,mfu\n1,1,1,1,7\n", "h20.csv:3:mfu", "share");
  check_error("rtx4090__llama-3.1-8b__tp1__dense.csv", "layer,tokens,time_us\nqkv_proj,0,1\n",
              "dense.csv:3:tokens", "whole number from 1");
  check_error("rtx4090__llama-3.1-8b__tp3__dense.csv", "layer,tokens,time_us\n", "dense.csv",
              "divides the 32");
  check_error("a800/m__moe.csv", "num_tokens,moe_grouped_gemm_median_us\n1,1\n", "moe.csv:moe",
              "times in ms");
  check_error("h100_sxm/wideep_context_mlp__x-1.csv",
              "kernel_source,quant_type,num_token,hidden_size,intermediate_size,latency_ms\n"
              "x,fp8_block,1,7168,2048,-1\n",
              "x-1.csv:3:latency_ms", "greater than 0");
}

TEST_CASE("one case with two very different times is a contradiction", "[calibrate][unit]") {
  const std::string header = "kernel_source,gemm_dtype,m,n,k,latency_ms\n";
  CHECK(rows_of("h100_sxm/gemm__x-1.csv",
                header + "x,bfloat16,1,64,64,0.1\nx,bfloat16,1,64,64,0.12\n")
            .rows.size() == 2);
  check_error("h100_sxm/gemm__x-1.csv", header + "x,bfloat16,1,64,64,0.1\nx,bfloat16,1,64,64,1.5\n",
              "x-1.csv:4:latency_ms", "contradicts line 3");
}
