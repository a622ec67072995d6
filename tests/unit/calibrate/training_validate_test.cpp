// Tables of published training runs: what rows become, and what is skipped by which rule.
#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>

#include "calibrate/fit/fit_errors.h"
#include "calibrate/validate/training_memory.h"
#include "calibrate/validate/training_recipes.h"
#include "calibrate/validate/training_steps.h"
#include "sim/core/error.h"

using namespace moesim;

namespace {

constexpr const char* k_memory =
    "# made up\n"
    "id,family,quality,hardware,environment,gpus,tp,pp,ep,etp,mbs,gbs,seq_len_tokens,num_layers,"
    "hidden,num_heads,num_experts,moe_topk,tokenizer_type,dist_optimizer,transformer_impl,"
    "attention_backend,sequence_parallel,mem_allocated_bytes_last,mem_max_allocated_bytes_max\n"
    "A1,moe,A,H100,dev,8,2,1,2,2,4,32,1024,12,512,8,8,1,GPT2BPETokenizer,1,transformer_engine,,1,"
    "900000000,2200000000\n"
    "A2,moe,A,A100,lts,8,2,1,2,2,4,32,1024,12,512,8,8,1,GPT2BPETokenizer,1,transformer_engine,,1,"
    "900000000,3200000000\n"
    "A3,moe,C,H100,dev,,2,8,8,1,4,32,1024,16,512,8,8,1,GPT2BPETokenizer,1,transformer_engine,,1,"
    "900000000,2200000000\n"
    "A4,moe,C,P100,dev,8,2,1,2,2,4,32,1024,12,512,8,8,1,GPT2BPETokenizer,1,transformer_engine,,1,"
    "900000000,2200000000\n";

constexpr const char* k_steps =
    "# made up\n"
    "id,hardware,gpus,fabric,model,layers_run,mtp_layers,framework,tp,pp,vpp,ep,etp,cp,mbs,gbs,"
    "seq_len_tokens,precision,dispatcher,overlap_a2a,recompute,s_per_iter,tok_s_per_gpu,"
    "gflop_per_token,group,quality\n"
    "B1,H100,64,EFA 32x100G per node (p5),Qwen3-30B-A3B,,,Megatron-Bridge,8,4,1,16,1,1,4,256,4096,"
    "bf16,alltoall,off,none,8.6,,,one,A\n"
    "B2,H100,64,EFA 32x100G per node (p5),Qwen3-30B-A3B,,,Megatron-Bridge,8,4,1,16,1,1,4,256,4096,"
    "bf16,deepep (flex),off,none,9.2,,,one,A\n"
    "B3,GB200,256,NVL72,DeepSeek-V3,,,Megatron-Bridge,1,4,4,64,,1,1,4096,4096,MXFP8,,,,,4912,260,"
    "two,B\n"
    "B4,GB200,64,NVL72,Some-Other-Model,,,Megatron-Bridge,1,4,4,16,,1,1,4096,4096,MXFP8,,,,9,,,two,"
    "B\n"
    "B5,GB200,64,NVL72,DeepSeek-V3,,,Megatron-LM,1,4,4,16,,1,1,4096,4096,MXFP8,,,,,,,two,B\n"
    "B6,GB200,60,NVL72,DeepSeek-V3,,,Megatron-LM,1,4,4,16,,1,1,4096,4096,MXFP8,,,,9,,,two,B\n"
    "B7,H100,64,EFA 32x100G per node (p5),Qwen3-30B-A3B,,,Megatron-Bridge,8,4,2,16,1,1,4,256,4096,"
    "bf16,alltoall,on,\"norm, act\",6.9,,,one,A\n";

std::int64_t rows_of(const std::map<std::string, std::int64_t>& skipped) {
  std::int64_t rows = 0;
  for (const auto& [reason, n] : skipped) {
    rows += n;
  }
  return rows;
}

}  // namespace

TEST_CASE("a row of peak memory is judged or skipped by a rule", "[calibrate][training]") {
  const CsvTable table = CsvTable::parse(k_memory, "made_up.csv");
  REQUIRE(is_training_memory(table));
  CHECK_FALSE(is_training_steps(table));
  const MemoryPoints points = judge_training_memory(table);
  REQUIRE(points.points.size() == 2);
  CHECK(rows_of(points.skipped) == 2);
  CHECK(points.skipped.contains("device P100 is not known"));
  const JudgedMemory& fused = points.points[0];
  CHECK(fused.system == "h100_sxm");
  CHECK(fused.measured_bytes == 2.2e9);
  // 70e6 parameters per rank: 6 bytes each, and 12 cut over 4 (attention) or 2 (experts).
  CHECK(fused.predicted_static_bytes == Approx(0.9e9).epsilon(0.05));
  CHECK(fused.predicted_bytes == Approx(2.2e9).epsilon(0.1));
  CHECK(fused.naive_bytes > 0);
  // The older image has no fused attention: 5 a s^2 b of scores in each of 12 layers.
  CHECK(points.points[1].predicted_bytes - fused.predicted_bytes >
        12 * 5.0 * 4 * 1024 * 1024 * 4 - 0.1e9);
}

TEST_CASE("a row of step times is a scenario or skipped by a rule", "[calibrate][training]") {
  const CsvTable table = CsvTable::parse(k_steps, "made_up.csv");
  REQUIRE(is_training_steps(table));
  const TrainingPoints points = read_training_steps(table);
  REQUIRE(points.points.size() == 4);
  CHECK(points.skipped.at("model Some-Other-Model is not in the catalog") == 1);
  CHECK(points.skipped.at("no step time and no tokens per second printed") == 1);
  CHECK(points.skipped.at("the stated layout does not fill the stated GPUs") == 1);

  const nlohmann::json p5 = training_scenario(points.points[1], "qwen3-30b-a3b");
  CHECK(p5["hardware"]["node"]["nic_link"] == "efa_400g");
  CHECK(p5["hardware"]["nodes"] == 8);
  CHECK(p5["parallelism"]["attention"]["dp"] == 2);
  CHECK(p5["parallelism"]["experts"]["edp"] == 1);
  CHECK(p5["policy"]["all_to_all"] == "deepep_normal");
  CHECK(p5["policy"]["pipeline"] == "1f1b");

  // Tokens per second and the release's recipe stand for what is not stated.
  const TrainingPoint& rack = points.points[2];
  CHECK(rack.seconds == Approx(4096.0 * 4096 / (4912 * 256)));
  CHECK(rack.mtp_layers == 1);
  CHECK(rack.recompute == "mla_up_proj");
  const nlohmann::json scenario = training_scenario(rack, "deepseek-v3");
  CHECK(scenario["hardware"]["node"]["devices"] == 64);
  CHECK(scenario["hardware"]["nodes"] == 4);
  CHECK(scenario["policy"]["precision"] == "fp8");
  CHECK(scenario["policy"]["pipeline"]["schedule"] == "interleaved");
  // The prediction module and the loss stand for three layers.
  CHECK(scenario["policy"]["pipeline"]["layers"].size() == 16);
  CHECK(scenario["policy"]["pipeline"]["layers"].back() == 1);
  CHECK(scenario["policy"]["framework"] == "megatron_router_graphs");

  const TrainingPoint& overlapped = points.points[3];
  CHECK(overlapped.overlap);
  CHECK(overlapped.recompute == "layernorm moe_act");
}

TEST_CASE("recipes are those of the release", "[calibrate][training]") {
  const auto captured = [](std::string_view release) {
    const TrainingRecipe* recipe = find_training_recipe("qwen3-30b-a3b", "gb200", release);
    REQUIRE(recipe != nullptr);
    return recipe->captured;
  };
  CHECK(captured("25.09") == Launches::router);  // the oldest known
  CHECK(captured("26.04.01") == Launches::router);
  CHECK(captured("26.06") == Launches::all);
  CHECK(captured("26.08") == Launches::all);  // the newest known
  CHECK(find_training_recipe("qwen3-30b-a3b", "a100_sxm", "26.06") == nullptr);
}

TEST_CASE("pairs differ in one choice alone", "[calibrate][training]") {
  const TrainingPoints points = read_training_steps(CsvTable::parse(k_steps, "made_up.csv"));
  const std::vector<TrainingPair> pairs = training_pairs(points.points);
  REQUIRE(pairs.size() == 1);  // the overlapped row has other chunks as well
  CHECK(pairs[0].choice == "dispatcher");
  CHECK(points.points[pairs[0].first].id == "B1");
  CHECK(points.points[pairs[0].second].id == "B2");

  std::vector<TrainingPoint> newer = points.points;
  newer[pairs[0].second].version = "26.06";
  CHECK(training_pairs(newer).empty());
  std::vector<TrainingPoint> captured = points.points;
  captured[pairs[0].second].framework = "megatron_graphs";
  CHECK(training_pairs(captured).empty());
}

TEST_CASE("peak memory of published runs", "[calibrate][training][shared]") {
  const std::string file = MOESIM_SHARED_DIR "/data/measured/training/training_memory.csv";
  if (!std::filesystem::exists(file)) {
    WARN("skipped: the measurements are not on this machine");
    return;
  }
  const CsvTable table = CsvTable::read(file);
  const MemoryPoints points = judge_training_memory(table);
  CHECK(static_cast<std::int64_t>(points.points.size()) + rows_of(points.skipped) ==
        static_cast<std::int64_t>(table.rows()));
  std::vector<double> errors;
  for (const JudgedMemory& point : points.points) {
    errors.push_back(std::abs(point.predicted_bytes / point.measured_bytes - 1));
  }
  const ErrorSummary summary = summarise(errors);
  CHECK(summary.median < 0.02);
  CHECK(summary.p90 < 0.09);
}

TEST_CASE("every published step time is a scenario or skipped by a rule",
          "[calibrate][training][shared]") {
  const std::string file = MOESIM_SHARED_DIR "/data/measured/training/training_points.csv";
  if (!std::filesystem::exists(file)) {
    WARN("skipped: the measurements are not on this machine");
    return;
  }
  const CsvTable table = CsvTable::read(file);
  const TrainingPoints points = read_training_steps(table);
  CHECK(static_cast<std::int64_t>(points.points.size()) + rows_of(points.skipped) ==
        static_cast<std::int64_t>(table.rows()));
  CHECK(points.points.size() > 160);
  for (const auto& [reason, n] : points.skipped) {
    CAPTURE(reason, n);
    CHECK(n < 8);
  }
}
