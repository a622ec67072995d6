// Cost of one kernel estimate (the engine makes one per operator, layer and rank) and of a model.
#include <benchmark/benchmark.h>

#include "models/kernels/kernel_model.h"

namespace {

using namespace moesim;

DevicePeaks h100() {
  DevicePeaks device;
  device.device = "h100_sxm";
  device.architecture = "gh100";
  device.peak = {{DType::bf16, FlopRate(989e12)}, {DType::fp8, FlopRate(1978e12)}};
  device.memory = Bandwidth(3.35e12);
  device.multiprocessors = 132;
  device.l2 = Bytes(50 * 0x1p20);
  return device;
}

std::unique_ptr<KernelModel> model() {
  const std::vector<std::string> dirs(1, MOESIM_SOURCE_DIR "/models/profiles");
  return make_kernel_model(h100(), "trtllm", dirs);
}

// `grow` changes the shape from call to call, so that branches are not learnt by heart.
template <class Op, class Grow>
void run(benchmark::State& state, Op op, Grow grow) {
  const auto kernels = model();
  std::int64_t i = 0;
  for (auto _ : state) {
    grow(op, ++i % 61);
    benchmark::DoNotOptimize(kernels->estimate(op));
  }
}

void BM_Gemm(benchmark::State& state) {
  GemmOp op;
  op.n = 7168;
  op.k = 2048;
  op.dtype = op.weight_storage = DType::fp8_block;
  run(state, op, [](GemmOp& o, std::int64_t i) { o.m = 100 + i; });
}
BENCHMARK(BM_Gemm);

void BM_Moe(benchmark::State& state) {
  MoeOp op;
  op.entering_tokens = 1000;
  op.top_k = 8;
  op.hidden = 7168;
  op.inter = 2048;
  op.local_experts = 9;
  op.total_experts = 256;
  op.dtype = op.weight_storage = DType::fp8_block;
  run(state, op, [](MoeOp& o, std::int64_t i) {
    o.load = {
        .pairs = 1000 + i, .touched_experts = 9, .tiles_64 = 20, .tiles_128 = 12, .busiest = 200};
  });
}
BENCHMARK(BM_Moe);

void BM_MlaDecode(benchmark::State& state) {
  MlaOp op;
  op.batch = 128;
  op.heads = 128;
  run(state, op, [](MlaOp& o, std::int64_t i) { o.context = 4096 + i; });
}
BENCHMARK(BM_MlaDecode);

void BM_AttentionDecode(benchmark::State& state) {
  AttentionOp op;
  op.batch = 64;
  op.heads = 32;
  op.kv_heads = 4;
  op.head_dim = 128;
  run(state, op, [](AttentionOp& o, std::int64_t i) { o.context = 2048 + i; });
}
BENCHMARK(BM_AttentionDecode);

void BM_MakeModel(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(model());
  }
}
BENCHMARK(BM_MakeModel)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
