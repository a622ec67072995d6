#include "sim/training/megatron_arguments.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "models/network/moe_model_size.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr const char* k_words = R"(
MODEL_ARGS=(
    --num-layers 32 --hidden-size 4096 --ffn-hidden-size 14336   # Mixtral
    --num-attention-heads 32 --group-query-attention --num-query-groups 8 --kv-channels 128
    --swiglu --untie-embeddings-and-output-weights --vocab-size=32000
    --num-experts 8 --moe-router-topk 2 --moe-token-dispatcher-type alltoall
)
torchrun pretrain_gpt.py ${MODEL_ARGS[@]} \
    --tensor-model-parallel-size 2 --sequence-parallel --pipeline-model-parallel-size 4 \
    --expert-model-parallel-size 8 --expert-tensor-parallel-size 1 \
    --micro-batch-size 1 --global-batch-size 256 --seq-length 4096 --bf16 \
    --use-distributed-optimizer --overlap-grad-reduce --overlap-param-gather \
    --recompute-granularity selective --recompute-modules moe_act layernorm \
    --attention-dropout 0.0 --hidden-dropout 0.0 --lr 1e-4 --log-interval 1 --world-size 128
)";

MegatronRun run_of(const MegatronArguments& arguments) {
  return read_megatron_run(arguments, "args.sh");
}

MegatronArguments with(std::string_view more) {
  MegatronArguments arguments = parse_megatron_arguments(k_words, "args.sh");
  for (const auto& [name, value] : parse_megatron_arguments(more, "more")) {
    arguments[name] = value;
  }
  return arguments;
}

}  // namespace

TEST_CASE("a script's words are a network, a layout and an iteration", "[training][megatron]") {
  const MegatronRun run = run_of(parse_megatron_arguments(k_words, "args.sh"));
  CHECK(count_parameters(run.model).total() == Approx(46.7e9).epsilon(0.002));  // 2401.04088
  const Parallelism& p = run.parallelism;
  CHECK(p.attention_tp == 2);
  CHECK(p.attention_dp == 16);
  CHECK(p.expert_ep == 8);
  CHECK(p.expert_dp == 4);
  CHECK(p.pp == 4);
  CHECK(run.pipeline == "1f1b");
  CHECK(run.workload.optimizer.zero == 1);
  CHECK(run.workload.sequence_parallel);
  CHECK(run.workload.recompute_modules == std::vector<std::string>{"moe_act", "layernorm"});
  CHECK_FALSE(run.habits.hidden_dropout);
  CHECK(run.habits.fused_attention);
  CHECK(run.ignored == std::vector<std::string>{"log-interval", "lr"});
}

TEST_CASE("YAML of the functional tests says the same", "[training][megatron]") {
  const MegatronArguments arguments = parse_megatron_arguments(R"(
ENV_VARS:
  CUDA_DEVICE_MAX_CONNECTIONS: 1
MODEL_ARGS:
  --num-layers: 12
  --swiglu: true
  --moe-layer-freq: ([0]*3+[1]*9)
  hidden_size: 512
)",
                                                               "config.yaml");
  CHECK(arguments.at("num-layers") == "12");
  CHECK(arguments.at("swiglu") == "true");
  CHECK(arguments.at("moe-layer-freq") == "([0]*3+[1]*9)");
  CHECK(arguments.at("hidden-size") == "512");
}

TEST_CASE("a layout's text names the layers of every part", "[training][megatron]") {
  const MegatronRun run = run_of(
      with("--pipeline-model-parallel-layout Et*3|(tt|)*6t*17L --pipeline-model-parallel-size 4"));
  CHECK(run.layers == std::vector<int>{3, 2, 2, 2, 2, 2, 2, 17});
  CHECK(run.parallelism.vpp == 2);
  CHECK(run.pipeline == "interleaved");
  CHECK_THROWS_AS(run_of(with("--pipeline-model-parallel-layout Et*3|xx")), ConfigError);
}

TEST_CASE("what the arguments leave out or get wrong is refused by name", "[training][megatron]") {
  MegatronArguments arguments = with("--lr 1");
  arguments.erase("hidden-size");
  CHECK_THROWS_WITH(run_of(arguments), Catch::Contains("--hidden-size"));
  CHECK_THROWS_WITH(run_of(with("--num-layers many")), Catch::Contains("--num-layers"));
  CHECK_THROWS_WITH(run_of(with("--world-size 100")), Catch::Contains("multiple of 32"));
  CHECK_THROWS_WITH(run_of(with("--optimizer lion")), Catch::Contains("adam"));
  CHECK_THROWS_WITH(run_of(with("--moe-layer-freq ([0]*3+[1]*9)")), Catch::Contains("every layer"));
  CHECK_THROWS_AS(parse_megatron_arguments("", "empty"), ConfigError);
}

TEST_CASE("a layout's arguments read back as the same layout", "[training][megatron]") {
  const MegatronArguments arguments = with("--num-virtual-stages-per-pipeline-rank 2");
  const MegatronRun run = run_of(arguments);
  MegatronArguments again = arguments;
  std::string text;
  for (const std::string& argument : megatron_layout_arguments(run.parallelism, run.workload)) {
    text.append(argument).append(" ");
  }
  for (const auto& [name, value] : parse_megatron_arguments(text, "written")) {
    again[name] = value;
  }
  CHECK(megatron_scenario(again, "args.sh") == megatron_scenario(arguments, "args.sh"));
  CHECK(text.find("--num-virtual-stages-per-pipeline-rank 2") != std::string::npos);
}

TEST_CASE("letters of a hybrid pattern become mixers with what follows them",
          "[training][megatron]") {
  const MegatronRun run =
      run_of(with("--hybrid-layer-pattern MEM*EM-/*E --mtp-num-layers 1 --num-layers 7 "
                  "--mamba-num-heads 16 --pipeline-model-parallel-size 1"));
  CHECK(run.model.layers.size() == 5);  // ME, M, *E, M-, and the module
  CHECK(run.model.mtp_layers == 1);
  CHECK(run.model.layer(0).attention.kind == AttentionKind::mamba);
  CHECK(run.model.layer(1).ffn.empty());
  CHECK(run.model.layer(2).attention.kind == AttentionKind::gqa);
}

}  // namespace moesim
