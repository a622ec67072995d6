// Pieces that several kernels share.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>

#ifdef MOESIM_EMULATION
#include "calibrate/cuda/emulator/tensor_core.h"
#else
#include "calibrate/cuda/kernels/tensor_core.cuh"
#endif

namespace moesim::bench {

constexpr int warp_size = 32;

__device__ inline std::uint32_t packed(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const std::uint32_t*>(&pair);
}

template <class T>
__device__ std::uint32_t word_at(const T* pointer) {
  return *reinterpret_cast<const std::uint32_t*>(pointer);
}

__device__ inline float warp_sum(float value) {
  for (int offset = warp_size / 2; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(~0U, value, offset);
  }
  return value;
}
__device__ inline float warp_max(float value) {
  for (int offset = warp_size / 2; offset > 0; offset /= 2) {
    value = fmaxf(value, __shfl_xor_sync(~0U, value, offset));
  }
  return value;
}

}  // namespace moesim::bench
