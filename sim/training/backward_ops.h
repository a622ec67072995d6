// Kernels of a training iteration: those of a forward pass, and those that its backward pass runs
// for each of them. Times follow from the laws of forward kernels, by FLOPs and bytes.
#pragma once

#include <string_view>
#include <vector>

#include "models/operators/op.h"
#include "sim/training/iteration_work.h"

namespace moesim {

// `op` is what the law is asked about. The rest says how the kernel differs from it.
struct TrainKernel {
  Op op;
  double work = 1.0;     // times the law's arithmetic and memory seconds
  double copies = 1.0;   // equal kernels side by side: their work adds up, their launches do not
  Bytes more_traffic{};  // beside the op's: gradients that are read, added to and written
  bool derived = false;  // no law is of this kernel: a forward one stands in
  // Arithmetic that the model asks for, over the op's: a backward pass counts twice its forward
  // pass, what is worked out again does not count.
  double counted = 0.0;
};

// Of forward kernels: the law's own.
TrainKernel forward_kernel(const Op& op);

// Gradients of a kernel's inputs. C = A B of m x n over k: dA is m x k over n. Attention: 2.5 times
// the forward FLOPs, since probabilities are worked out again from queries and keys
// (FlashAttention-2, arXiv:2307.08691, section 3.1: five products instead of two); latent attention
// by the widths of these products. Bandwidth-bound kernels read what the forward kernel read and
// the gradient of what it wrote, and write the gradient of what it read. Routed experts: their
// products once more, each with its weights transposed.
std::vector<TrainKernel> input_gradient(const Op& op);

// Gradients of a kernel's weights; empty for kernels without any. dB is k x n over m, and is added
// to a gradient of `gradient` format.
std::vector<TrainKernel> weight_gradient(const Op& op, DType gradient);

// What kernels of their own move to make the narrow operands of a product of `op` in this pass, as
// Transformer Engine does for fp8 and fp4 (from memory; docs/examples/fp8_primer: a tensor and its
// transpose are quantised from high precision, one for this product and one for that of the
// weights' gradient): bf16 rows are read and written twice, in the forward pass the inputs, in the
// backward pass the gradients of outputs. Weights are quantised once per iteration and left out.
// Zero for products in bf16 and for all that is no product.
Bytes quantised_operand(const Op& op, KernelPass pass);

inline constexpr std::string_view k_experts_up = "experts_up";
inline constexpr std::string_view k_experts_down = "experts_down";
// The products of routed experts one by one, each expert's rows on their own: how training
// frameworks run them (Transformer Engine's GroupedLinear: a library product per expert, on four
// streams; TransformerEngine, module/grouped_linear.py, from memory). One expert's products,
// with the mean expert's rows.
std::vector<Op> expert_products(const MoeOp& experts);

}  // namespace moesim
