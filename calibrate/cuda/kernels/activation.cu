#include "calibrate/cuda/kernels/activation.h"

#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include "calibrate/cuda/device/check.h"
#include "calibrate/cuda/host/session.h"
#include "calibrate/cuda/kernels/device_math.cuh"

namespace moesim::bench {
namespace {

constexpr int values_per_lane = 4;
constexpr int warps_per_block = 8;
constexpr float largest_e4m3 = 448;

template <class T>
__device__ T stored(float value) {
  return static_cast<T>(value);
}
template <>
__device__ std::int8_t stored<std::int8_t>(float value) {
  return static_cast<std::int8_t>(fminf(fmaxf(rintf(value), -127.0F), 127.0F));
}

// A warp per 128 values, four neighbours per lane.
template <class In, class Out, bool block_scales>
__global__ void swiglu_kernel(const In* gate_up, int width, Out* out, float* scales) {
  const int warp = static_cast<int>(threadIdx.x) / warp_size;
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  const int block = static_cast<int>(blockIdx.y) * warps_per_block + warp;
  const int first = (block * warp_size + lane) * values_per_lane;
  const std::size_t row = blockIdx.x;
  const In* gate = gate_up + row * 2 * width;
  float value[values_per_lane] = {};
  float largest = 0;
  if (first < width) {
    for (int i = 0; i < values_per_lane; ++i) {
      const float g = static_cast<float>(gate[first + i]);
      value[i] = g / (1 + __expf(-g)) * static_cast<float>(gate[width + first + i]);
      largest = fmaxf(largest, fabsf(value[i]));
    }
  }
  float factor = 1;
  if constexpr (block_scales) {
    largest = warp_max(largest);
    factor = largest > 0 ? largest_e4m3 / largest : 1;
    if (lane == 0 && first < width) {
      scales[row * ((width + 127) / 128) + block] = 1 / factor;
    }
  }
  if (first < width) {
    for (int i = 0; i < values_per_lane; ++i) {
      out[row * width + first + i] = stored<Out>(factor * value[i]);
    }
  }
}

template <class In, class Out, bool block_scales>
void launch(const void* gate_up, int rows, int width, void* out, float* scales,
            cudaStream_t stream) {
  constexpr int per_block = warps_per_block * warp_size * values_per_lane;
  const dim3 grid(static_cast<unsigned>(rows),
                  static_cast<unsigned>((width + per_block - 1) / per_block));
  swiglu_kernel<In, Out, block_scales><<<grid, warps_per_block * warp_size, 0, stream>>>(
      static_cast<const In*>(gate_up), width, static_cast<Out*>(out), scales);
  MOESIM_CHECK(cudaGetLastError());
}

}  // namespace

void swiglu(const void* gate_up, int rows, int width, Format format, void* out, float* scales,
            cudaStream_t stream) {
  switch (format) {
    case Format::float16:
      return launch<__half, __half, false>(gate_up, rows, width, out, scales, stream);
    case Format::bfloat16:
      return launch<__nv_bfloat16, __nv_bfloat16, false>(gate_up, rows, width, out, scales, stream);
    case Format::fp8:
      return launch<__nv_bfloat16, __nv_fp8_e4m3, false>(gate_up, rows, width, out, scales, stream);
    case Format::fp8_block:
      return launch<__nv_bfloat16, __nv_fp8_e4m3, true>(gate_up, rows, width, out, scales, stream);
    case Format::int8:
      return launch<__nv_bfloat16, std::int8_t, false>(gate_up, rows, width, out, scales, stream);
    case Format::float32:
    case Format::tf32:
      break;
  }
  throw Unsupported("expert layers in " + std::string(name_of(format)) + " are not measured");
}

}  // namespace moesim::bench
