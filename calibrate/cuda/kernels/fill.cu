#include "calibrate/cuda/kernels/fill.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <algorithm>

#include "calibrate/cuda/device/check.h"

namespace moesim::bench {
namespace {

constexpr int threads = 256;
constexpr std::size_t most_blocks = 2048;

// A 32-bit finaliser (the constants of lowbias32), enough for operands.
__device__ std::uint32_t mixed(std::uint32_t x) {
  x ^= x >> 16;
  x *= 0x7feb352dU;
  x ^= x >> 15;
  x *= 0x846ca68bU;
  return x ^ (x >> 16);
}

template <class T>
__device__ T value_of(float x) {
  return static_cast<T>(x);
}
template <>
__device__ std::int8_t value_of<std::int8_t>(float x) {
  return static_cast<std::int8_t>(127 * x);
}

template <class T>
__global__ void random_kernel(T* target, std::size_t count, std::uint32_t seed) {
  const std::size_t step = static_cast<std::size_t>(gridDim.x) * blockDim.x;
  for (std::size_t i = blockIdx.x * static_cast<std::size_t>(blockDim.x) + threadIdx.x; i < count;
       i += step) {
    const std::uint32_t high = mixed(static_cast<std::uint32_t>(i >> 32) ^ seed);
    const std::uint32_t bits = mixed(static_cast<std::uint32_t>(i) ^ high);
    target[i] = value_of<T>(static_cast<float>(bits >> 8) * 0x1p-23F - 1.0F);
  }
}

__global__ void constant_kernel(float* target, std::size_t count, float value) {
  const std::size_t step = static_cast<std::size_t>(gridDim.x) * blockDim.x;
  for (std::size_t i = blockIdx.x * static_cast<std::size_t>(blockDim.x) + threadIdx.x; i < count;
       i += step) {
    target[i] = value;
  }
}

unsigned blocks_for(std::size_t count) {
  return static_cast<unsigned>(std::clamp<std::size_t>(count / threads, 1, most_blocks));
}

template <class T>
void fill(void* target, std::size_t bytes, std::uint32_t seed, cudaStream_t stream) {
  const std::size_t count = bytes / sizeof(T);
  random_kernel<<<blocks_for(count), threads, 0, stream>>>(static_cast<T*>(target), count, seed);
}

}  // namespace

void fill_random(void* target, std::size_t bytes, Format format, std::uint32_t seed,
                 cudaStream_t stream) {
  switch (format) {
    case Format::float32:
    case Format::tf32:
      fill<float>(target, bytes, seed, stream);
      break;
    case Format::float16:
      fill<__half>(target, bytes, seed, stream);
      break;
    case Format::bfloat16:
      fill<__nv_bfloat16>(target, bytes, seed, stream);
      break;
    case Format::fp8:
    case Format::fp8_block:
      fill<__nv_fp8_e4m3>(target, bytes, seed, stream);
      break;
    case Format::int8:
      fill<std::int8_t>(target, bytes, seed, stream);
      break;
  }
  MOESIM_CHECK(cudaGetLastError());
}

void fill_constant(float* target, std::size_t count, float value, cudaStream_t stream) {
  constant_kernel<<<blocks_for(count), threads, 0, stream>>>(target, count, value);
  MOESIM_CHECK(cudaGetLastError());
}

}  // namespace moesim::bench
