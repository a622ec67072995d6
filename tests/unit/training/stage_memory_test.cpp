#include "sim/training/stage_memory.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "sim/training/activation_memory.h"
#include "sim/training/pipeline.h"

namespace moesim {
namespace {

constexpr std::int64_t k_hidden = 64;
constexpr std::int64_t k_heads = 8;
constexpr std::int64_t k_sequence = 32;
constexpr std::int64_t k_batch = 2;
constexpr double k_sbh = static_cast<double>(k_sequence * k_batch * k_hidden);

nlohmann::json dense_ffn() { return {{"kind", "dense"}, {"inter", 4 * k_hidden}, {"matrices", 2}}; }

nlohmann::json moe_ffn() {
  return {{"kind", "moe"},
          {"experts", {{{"count", 8}, {"inter", 32}, {"matrices", 3}}}},
          {"router", {{"top_k", 2}}}};
}

MoeModel model_of(const nlohmann::json& ffn, int layers) {
  const nlohmann::json attention{{"kind", "mha"}, {"heads", k_heads}, {"head_dim", 8}};
  return parse_model({{"schema", 1},
                      {"name", "small"},
                      {"sources", {"made up"}},
                      {"date", "2026"},
                      {"hidden", k_hidden},
                      {"vocabulary", 1000},
                      {"blocks", {{{"repeat", layers}, {"attention", attention}, {"ffn", {ffn}}}}}},
                     "test");
}

TrainWorkload workload_of() {
  TrainWorkload workload;
  workload.global_batch = 16;
  workload.micro_batch = k_batch;
  workload.sequence = k_sequence;
  return workload;
}

// The paper's kernels: scores are tensors, everything is dropped out.
MemoryHabits paper_habits() {
  MemoryHabits habits;
  habits.fused_attention = false;
  habits.attention_dropout = true;
  habits.hidden_dropout = true;
  return habits;
}

std::vector<StageMemory> memory_of(const MoeModel& model, const TrainWorkload& workload,
                                   const Parallelism& parallelism) {
  const PipelineSchedule schedule =
      find_pipeline("1f1b", "test")
          .make({.stages = parallelism.pp, .chunks = 1, .micro_batches = 8}, "test");
  const std::vector<ModelPart> parts = split_model(model, parallelism.pp, {}, "test");
  return stage_memory({.model = model,
                       .workload = workload,
                       .parallelism = parallelism,
                       .precision = precision_preset("bf16", "test"),
                       .parts = parts,
                       .schedule = schedule});
}

}  // namespace

TEST_CASE("a layer's activations are those of Korthikanti et al., equations 1, 4 and 6",
          "[training]") {
  const MoeModel model = model_of(dense_ffn(), 1);
  const OpPrecision bf16 = precision_preset("bf16", "test");
  const double scores = 5.0 * k_heads * k_sequence * k_sequence * k_batch;
  TrainWorkload workload = workload_of();
  const auto kept = [&](int tp) {
    Parallelism parallelism;
    parallelism.attention_tp = tp;
    parallelism.expert_tp = tp;
    return layer_activations(model, model.layer(0), workload, parallelism, bf16, paper_habits())
        .kept.si();
  };
  CHECK(kept(1) == Approx(34 * k_sbh + scores));
  CHECK(kept(4) == Approx((34 * k_sbh + scores) / 4));
  workload.sequence_parallel = false;  // equation 2: 10 sbh are whole on every rank
  CHECK(kept(4) == Approx(10 * k_sbh + (24 * k_sbh + scores) / 4));
  workload.sequence_parallel = true;
  workload.recompute = Recompute::selective;
  workload.recompute_modules = {"core_attn"};
  CHECK(kept(4) == Approx(34 * k_sbh / 4));
  workload.recompute = Recompute::full;
  CHECK(kept(1) == Approx(2 * k_sbh));
}

TEST_CASE("experts keep the tokens that they are sent", "[training]") {
  const MoeModel model = model_of(moe_ffn(), 1);
  const OpPrecision bf16 = precision_preset("bf16", "test");
  TrainWorkload workload = workload_of();
  Parallelism parallelism;
  parallelism.attention_dp = 4;
  parallelism.expert_ep = 4;
  const auto kept = [&] {
    return layer_activations(model, model.layer(0), workload, parallelism, bf16, {}).kept.si();
  };
  const double rows = 2.0 * k_sequence * k_batch;
  const double all = kept();
  workload.recompute = Recompute::selective;
  workload.recompute_modules = {"moe_act"};
  CHECK(all - kept() == Approx(rows * 32 * 2));
  // Inputs and outputs of 64, gate and up of 32 each, the activation; the router's fp32 values.
  workload.recompute_modules = {"moe"};
  CHECK(all - kept() == Approx(rows * (64 + 64 + 64 + 32) * 2 + k_sequence * k_batch * 8 * 8.0));
  workload.recompute = Recompute::none;
  workload.recompute_modules.clear();
  workload.capacity_factor = 1.5;
  CHECK(kept() - all == Approx(0.5 * rows * (64 + 64 + 64 + 32) * 2));
  workload.capacity_factor.reset();
  workload.offload_modules = {"expert_fc1"};
  CHECK(all - kept() == Approx(rows * 64 * 2));
}

TEST_CASE("states are cut as the optimizer's stage says", "[training]") {
  const MoeModel model = model_of(moe_ffn(), 4);
  // Attention 4 h^2, router 8 h, two norms; 8 experts of 3 h 32; the tables and the last norm.
  const double layer = 4.0 * 64 * 64 + 8 * 64 + 2 * 64;
  const double experts = 4 * 8 * 3.0 * 64 * 32 / 4;
  const double dense = 4 * layer + 2 * 1024.0 * 64 + 64;  // the vocabulary is padded to 1024
  Parallelism parallelism;
  parallelism.attention_dp = 8;
  parallelism.expert_ep = 4;
  parallelism.expert_dp = 2;
  TrainWorkload workload = workload_of();
  const auto at = [&](int zero) {
    workload.optimizer.zero = zero;
    return memory_of(model, workload, parallelism).front();
  };
  const double all = dense + experts;
  const double cut = dense / 8 + experts / 2;
  CHECK(at(0).weights.si() == Approx(2 * all));
  CHECK(at(0).gradients.si() == Approx(4 * all));
  CHECK(at(0).optimizer.si() == Approx(12 * all));
  CHECK(at(1).optimizer.si() == Approx(12 * cut));
  CHECK(at(1).gradients.si() == Approx(4 * all));
  CHECK(at(2).gradients.si() == Approx(4 * cut));
  CHECK(at(3).weights.si() == Approx(2 * cut));
  workload.gradient = DType::bf16;  // and fp32 copies of the rank's own part
  CHECK(at(1).gradients.si() == Approx(2 * all));
  CHECK(at(1).optimizer.si() == Approx(16 * cut));
  workload.optimizer.offload = true;
  CHECK(at(1).optimizer.si() == 0);
  workload.optimizer.offload = false;
  workload.optimizer.kind = OptimizerKind::sgd;
  workload.gradient = DType::fp32;
  CHECK(at(1).optimizer.si() == Approx(8 * cut));
}

TEST_CASE("a stage holds the micro-batches that its schedule has under way", "[training]") {
  const MoeModel model = model_of(moe_ffn(), 8);
  Parallelism parallelism;
  parallelism.pp = 4;
  const TrainWorkload workload = workload_of();
  const std::vector<StageMemory> stages = memory_of(model, workload, parallelism);
  const PipelineSchedule schedule =
      find_pipeline("1f1b", "test").make({.stages = 4, .chunks = 1, .micro_batches = 8}, "test");
  for (std::size_t s = 0; s < 4; ++s) {
    const StageMemory& stage = stages[s];
    CHECK(peak_memory(stage, schedule.actions[s]).si() ==
          Approx((stage.fixed() + static_cast<double>(4 - s) * stage.activations[0] +
                  stage.transient[0])
                     .si()));
  }
  // Logits and the loss: bf16 and fp32 values of 64 tokens and 1024 words.
  CHECK(stages[3].transient[0].si() == Approx(64 * 1024 * 6.0));
  CHECK(stages[2].transient[0] < stages[3].transient[0]);
}

}  // namespace moesim
