#include "sim/core/dtype.h"

#include <algorithm>
#include <array>
#include <string>

#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr std::array<std::string_view, k_dtypes> names{"fp32",      "tf32", "bf16", "fp16", "fp8",
                                                       "fp8_block", "int8", "int4", "fp4"};

}  // namespace

std::string_view name_of(DType dtype) { return names.at(static_cast<std::size_t>(dtype)); }

std::span<const std::string_view> dtype_names() { return names; }

DType parse_dtype(std::string_view name, std::string_view where) {
  const auto found = std::ranges::find(names, name);
  if (found == names.end()) {
    throw ConfigError(where, "\"" + std::string(name) + "\" is not one of: " + joined(names));
  }
  return static_cast<DType>(found - names.begin());
}

double stored_bits(DType dtype) {
  switch (dtype) {
    case DType::fp32:
    case DType::tf32:
      return 32;
    case DType::bf16:
    case DType::fp16:
      return 16;
    case DType::fp8:
    case DType::int8:
      return 8;
    case DType::fp8_block:
      return 8 + 32.0 / (128 * 128);
    case DType::int4:
    case DType::fp4:
      return 4;
  }
  throw InvariantError("every DType has a size");
}

DType peak_class(DType dtype) { return dtype == DType::fp8_block ? DType::fp8 : dtype; }

}  // namespace moesim
