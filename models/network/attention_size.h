// Inside of the sizes: what one attention holds.
#pragma once

#include "models/network/moe_model.h"
#include "sim/core/dtype.h"
#include "sim/core/units.h"

namespace moesim::detail {

inline double real(std::int64_t count) { return static_cast<double>(count); }

// Bits in memory: NVFP4 has a scale of one byte per 16 values, which kernels' laws leave out.
inline double memory_bits(DType format) {
  return format == DType::fp4 ? 4 + 8.0 / 16 : stored_bits(format);
}

// Bytes of so many values: of `weight_bits` each, or of the format if that is 0.
inline Bytes stored(double values, double weight_bits, DType format) {
  return Bytes(values * (weight_bits > 0 ? weight_bits : memory_bits(format)) / 8);
}

// A rank of a group larger than the KV heads still holds one of them.
double kv_share(std::int64_t kv_heads, std::int64_t tp);

// Values of the matrices and vectors of one attention, and the share of the matrices that every
// rank of a tensor-parallel group holds in full.
struct AttentionWeights {
  double split_by_heads = 0;
  double split_by_kv_heads = 0;
  double replicated = 0;
  double vectors = 0;

  [[nodiscard]] double matrices() const { return split_by_heads + split_by_kv_heads + replicated; }
};
AttentionWeights weights_of(const Attention& attention, double hidden);

}  // namespace moesim::detail
