#include "sim/training/backward_ops.h"

#include <algorithm>

namespace moesim {
namespace {

double real(std::int64_t value) { return static_cast<double>(value); }

// Read and written again, instead of a bf16 product that is written alone.
Bytes accumulation(double weights, DType gradient) {
  constexpr double written = 2.0;
  const double bytes = stored_bits(gradient) / 8;
  return Bytes(weights * (2 * bytes - written));
}

// Products of q k' (again), dP = dO v', dV = p' dO, dQ = dS k, dK = dS' q over q k' and p v.
double attention_backward(double key_width, double value_width) {
  return (3 * key_width + 2 * value_width) / (key_width + value_width);
}

double backward_of(CountedKernel kernel) {
  constexpr double like_attention = 2.5;
  // Scores and their gradients towards both factors; chosen entries have no gradient.
  return kernel == CountedKernel::indexer ? 2.0 : like_attention;
}

struct InputGradient {
  std::vector<TrainKernel> operator()(const GemmOp& gemm) const {
    GemmOp gradient = gemm;
    gradient.n = gemm.k;
    gradient.k = gemm.n;
    return {{.op = {op.label, gradient}, .counted = 1.0}};
  }
  std::vector<TrainKernel> operator()(const MoeOp&) const {
    return {{.op = op, .derived = true, .counted = 1.0}};
  }
  std::vector<TrainKernel> operator()(const AttentionOp& attention) const {
    const double width = real(attention.head_dim);
    return {{.op = op, .work = attention_backward(width, width), .derived = true, .counted = 2.0}};
  }
  std::vector<TrainKernel> operator()(const MlaOp& mla) const {
    return {{.op = op,
             .work = attention_backward(real(mla.nope_dim + mla.rope_dim), real(mla.value_dim)),
             .derived = true,
             .counted = 2.0}};
  }
  std::vector<TrainKernel> operator()(const MemoryOp& memory) const {
    return {{.op = {op.label, MemoryOp{memory.read + memory.written, memory.read}}}};
  }
  std::vector<TrainKernel> operator()(const RooflineOp& kernel) const {
    return {{.op = op, .work = backward_of(kernel.kernel), .derived = true, .counted = 2.0}};
  }
  const Op& op;
};

struct WeightGradient {
  std::vector<TrainKernel> operator()(const GemmOp& gemm) const {
    GemmOp product = gemm;
    product.m = gemm.k;
    product.k = gemm.m;
    product.weight_storage = gemm.dtype;  // the output's gradient stands where weights stood
    product.weight_bits = 0.0;
    const double weights = real(gemm.n) * real(gemm.k) * real(gemm.batch);
    return {{.op = {op.label, product},
             .more_traffic = accumulation(weights, gradient),
             .counted = 1.0}};
  }
  std::vector<TrainKernel> operator()(const MoeOp& moe) const {
    const double weights =
        real(moe.load.touched_experts) * moe.matrices * real(moe.hidden) * real(moe.inter);
    return {{.op = op,
             .more_traffic = accumulation(weights, gradient),
             .derived = true,
             .counted = 1.0}};
  }
  template <class Other>
  std::vector<TrainKernel> operator()(const Other&) const {
    return {};
  }
  const Op& op;
  DType gradient;
};

}  // namespace

Bytes quantised_operand(const Op& op, KernelPass pass) {
  const auto* gemm = std::get_if<GemmOp>(&op.shape);
  const bool forward = pass == KernelPass::forward || pass == KernelPass::again;
  if (gemm == nullptr || stored_bits(gemm->dtype) >= 16 || pass == KernelPass::weight_grad) {
    return {};
  }
  constexpr double read = 2.0;  // bf16
  const double written = 2 * stored_bits(gemm->dtype) / 8;
  const double values = real(gemm->m) * real(gemm->batch) * real(forward ? gemm->k : gemm->n);
  return Bytes(values * (read + written));
}

std::vector<Op> expert_products(const MoeOp& experts) {
  const std::int64_t rows = std::max<std::int64_t>(
      1, experts.load.pairs / std::max<std::int64_t>(1, experts.load.touched_experts));
  const GemmOp common{.m = rows,
                      .dtype = experts.dtype,
                      .weight_storage = experts.weight_storage,
                      .weight_bits = experts.weight_bits};
  GemmOp up = common;
  up.n = (experts.matrices - 1) * experts.inter;
  up.k = experts.hidden;
  GemmOp down = common;
  down.n = experts.hidden;
  down.k = experts.inter;
  return {{k_experts_up, up}, {k_experts_down, down}};
}

TrainKernel forward_kernel(const Op& op) { return {.op = op, .counted = 1.0}; }

std::vector<TrainKernel> input_gradient(const Op& op) {
  return std::visit(InputGradient{op}, op.shape);
}

std::vector<TrainKernel> weight_gradient(const Op& op, DType gradient) {
  return std::visit(WeightGradient{op, gradient}, op.shape);
}

}  // namespace moesim
