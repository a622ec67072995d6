#include "calibrate/cuda/device/lt_matmul.h"
#include "calibrate/cuda/families.h"
#include "calibrate/cuda/kernels/fill.h"

namespace moesim::bench {
namespace {

std::vector<double> measure(const Bench& bench, const GemmCase& gemm) {
  const LtMatmul matmul(gemm, bench.stream());
  const Bytes value(value_bytes(gemm.format));
  const Bytes x_bytes = static_cast<double>(gemm.m * gemm.k) * value;
  const Bytes w_bytes = static_cast<double>(gemm.n * gemm.k) * value;
  const int sets = bench.sets_of(operand_bytes(gemm));
  const RotatingBuffer x(whole_bytes(x_bytes), sets);
  const RotatingBuffer w(whole_bytes(w_bytes), sets);
  const RotatingBuffer out(whole_bytes(operand_bytes(gemm) - x_bytes - w_bytes), sets);
  fill_random(x.set(0), x.bytes(), gemm.format, 1, bench.stream());
  fill_random(w.set(0), w.bytes(), gemm.format, 2, bench.stream());
  return bench.time(sets, Replay::graph, [&](int set) {
    matmul.run(x.set(set), w.set(set), out.set(set), bench.stream());
  });
}

}  // namespace

void run_gemm(Bench& bench) {
  bench.each(gemm_grid(bench.quick()), [&](const GemmCase& gemm) { return measure(bench, gemm); });
}

}  // namespace moesim::bench
