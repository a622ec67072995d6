// Number formats, as kernels and memories distinguish them.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace moesim {

// `fp8_block` is fp8 with 128x128 block scales (DeepSeek): same peak rate, other kernels and
// 4 bytes of scale per 128 values.
enum class DType { fp32, tf32, bf16, fp16, fp8, fp8_block, int8, int4, fp4 };
inline constexpr std::size_t k_dtypes = static_cast<std::size_t>(DType::fp4) + 1;

std::string_view name_of(DType dtype);

// All names, in the order of the enumeration.
std::span<const std::string_view> dtype_names();

// Throws ConfigError(where, ...) naming the allowed names.
DType parse_dtype(std::string_view name, std::string_view where);

// Bits of one stored value, scales of block formats included (fp8_block: 8.25 for activations'
// 1x128 scales is a kernel's affair; here weights: 8 + 32/16384).
double stored_bits(DType dtype);

// The rate class that a device quotes for this format (fp8_block -> fp8).
DType peak_class(DType dtype);

}  // namespace moesim
