// Inside of the operators: shared by their sources only.
#pragma once

#include "models/operators/operators.h"

namespace moesim::detail {

inline double real(std::int64_t count) { return static_cast<double>(count); }

// Bytes of so many values of a format.
inline Bytes size(double values, DType dtype) { return Bytes(values * stored_bits(dtype) / 8); }

// Reads and writes so many values of the activation format.
inline Op memory_op(std::string_view label, double read, double written, DType dtype) {
  return {label, MemoryOp{size(read, dtype), size(written, dtype)}};
}

// Residual addition fused with the norm: reads stream and addend, writes stream and normed rows.
inline Op add_norm_op(std::string_view label, std::int64_t rows, std::int64_t hidden,
                      DType activation) {
  const double values = 2 * real(rows) * real(hidden);
  return memory_op(label, values, values, activation);
}

// Where quantisation is a kernel of its own: reads rows, writes them narrow with one fp32 scale
// per row (per 128 values for block formats). Empty for wide formats.
void append_quantisation(std::vector<Op>& ops, std::string_view label, std::int64_t rows,
                         std::int64_t width, DType gemm, const OpPrecision& precision);

}  // namespace moesim::detail
