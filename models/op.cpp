#include "models/op.h"

#include <algorithm>

namespace moesim {
namespace {

// Bits of one value of an activation: block formats carry a 4-byte scale per 128 values of a row.
double activation_bits(DType dtype) {
  return dtype == DType::fp8_block ? 8 + 32.0 / 128 : stored_bits(dtype);
}

// Products of narrow formats leave in bf16.
double result_bits(DType dtype) { return std::max(16.0, stored_bits(dtype)); }

double storage_bits(double weight_bits, DType storage) {
  return weight_bits > 0 ? weight_bits : stored_bits(storage);
}

double real(std::int64_t count) { return static_cast<double>(count); }

// (query, key) pairs of one sequence and head. The queries are the last `query_len` of `context`
// tokens; query i of q sees context - q + i keys: q * context - q (q - 1) / 2.
double visible_pairs(std::int64_t query_len, std::int64_t context, bool causal) {
  const double q = real(query_len);
  return q * real(context) - (causal ? q * (q - 1) / 2 : 0);
}

// 2 m n k per product.
double flops(const GemmOp& op) { return 2 * real(op.m) * real(op.n) * real(op.k) * real(op.batch); }

// A (m k), B (k n) and C (m n), each once.
double bits(const GemmOp& op) {
  const double m = real(op.m);
  const double n = real(op.n);
  const double k = real(op.k);
  return real(op.batch) *
         (m * k * activation_bits(op.dtype) +
          k * n * storage_bits(op.weight_bits, op.weight_storage) + m * n * result_bits(op.dtype));
}

// 2 FLOPs per weight and pair; `matrices` matrices of hidden x inter.
double flops(const MoeOp& op) {
  return 2 * real(op.load.pairs) * op.matrices * real(op.hidden) * real(op.inter);
}

// Weights of the touched experts, and in and out the rows with a pair here: at least as many as
// the busiest expert has, at most one per pair. The least is min(entering, pairs / top_k) rounded
// up; the kernels' own permutation traffic is an affair of the kernel models.
double bits(const MoeOp& op) {
  const double weights = real(op.load.touched_experts) * op.matrices * real(op.hidden) *
                         real(op.inter) * storage_bits(op.weight_bits, op.weight_storage);
  const std::int64_t k = std::max<std::int64_t>(1, op.top_k);
  const std::int64_t rows =
      std::min(op.entering_tokens, std::max(op.load.busiest, (op.load.pairs + k - 1) / k));
  return weights +
         real(rows) * real(op.hidden) * (activation_bits(op.dtype) + result_bits(op.dtype));
}

// q k^T and p v: 2 * head_dim each per visible pair and head.
double flops(const AttentionOp& op) {
  return 4 * real(op.batch) * real(op.heads) * real(op.head_dim) *
         visible_pairs(op.query_len, op.context, op.causal);
}

// q, o: batch * query_len * heads * head_dim; k, v: batch * context * kv_heads * head_dim.
double bits(const AttentionOp& op) {
  const double rows = real(op.batch) * real(op.query_len);
  const double q_and_o =
      rows * real(op.heads) * real(op.head_dim) * (result_bits(op.dtype) + result_bits(op.dtype));
  const double k_and_v = 2 * real(op.batch) * real(op.context) * real(op.kv_heads) *
                         real(op.head_dim) * stored_bits(op.kv_storage);
  return q_and_o + k_and_v;
}

bool absorbed(const MlaOp& op) { return op.phase == Phase::decode; }

// Dimension of queries and keys, and of values, per head.
double key_dim(const MlaOp& op) {
  return real((absorbed(op) ? op.latent_dim : op.nope_dim) + op.rope_dim);
}
double value_dim(const MlaOp& op) { return real(absorbed(op) ? op.latent_dim : op.value_dim); }

// 2 (key_dim + value_dim) per visible pair and head.
double flops(const MlaOp& op) {
  return 2 * real(op.batch) * real(op.heads) * (key_dim(op) + value_dim(op)) *
         visible_pairs(op.query_len, op.context, true);
}

// q: key_dim and o: value_dim per query and head. Absorbed, all heads share the cached latent;
// expanded, each head has keys and values of its own (but for the rotary part), in `dtype`.
double bits(const MlaOp& op) {
  const double rows = real(op.batch) * real(op.query_len);
  const double keys = real(op.batch) * real(op.context);
  const double q_and_o =
      rows * real(op.heads) * (key_dim(op) + value_dim(op)) * result_bits(op.dtype);
  if (absorbed(op)) {
    return q_and_o + keys * real(op.latent_dim + op.rope_dim) * stored_bits(op.kv_storage);
  }
  return q_and_o + keys * (real(op.heads) * real(op.nope_dim + op.value_dim) + real(op.rope_dim)) *
                       stored_bits(op.dtype);
}

double flops(const MemoryOp&) { return 0; }
double bits(const MemoryOp& op) { return 8 * (op.read + op.written).si(); }

}  // namespace

Flops flops_of(const OpShape& op) {
  return Flops(std::visit([](const auto& shape) { return flops(shape); }, op));
}

Bytes bytes_of(const OpShape& op) {
  return Bytes(std::visit([](const auto& shape) { return bits(shape); }, op) / 8);
}

}  // namespace moesim
