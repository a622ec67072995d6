// Runs kernels on the processor, so that their indices and layouts can be tested without a device.
// A block's threads are fibers that take turns; blocks run one after the other. What it cannot
// show: speed, races between barriers, and what the hardware does otherwise than documented.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>

#include "calibrate/cuda/emulator/copy_time.h"

namespace moesim::emulation {

struct Place {
  uint3 thread{};
  uint3 block{};
  dim3 threads;
  dim3 blocks;
};
// Of the fiber that runs.
const Place& place();

// Runs the whole grid at once; streams have no meaning here.
void launch(dim3 blocks, dim3 threads, std::size_t dynamic_shared_bytes, cudaStream_t stream,
            const std::function<void()>& kernel);
unsigned char* dynamic_shared();

// Until every thread of the block that has not ended is here.
void block_barrier();

// Gives every lane of a warp the values of all lanes.
inline constexpr std::size_t most_bytes = 64;
using Slots = std::array<std::array<unsigned char, most_bytes>, 32>;
Slots exchange_bytes(const void* value, std::size_t size);
template <class T>
std::array<T, 32> exchanged(const T& value) {
  static_assert(sizeof(T) <= most_bytes);
  const Slots slots = exchange_bytes(&value, sizeof value);
  std::array<T, 32> values;
  for (std::size_t lane = 0; lane < values.size(); ++lane) {
    std::memcpy(&values[lane], slots[lane].data(), sizeof(T));
  }
  return values;
}
inline std::size_t lane() { return place().thread.x % 32; }

// Asynchronous copies of this thread, see copy_time.h.
void copy_asynchronously(void* to, const void* from, std::size_t bytes, bool zeros);
void commit();
void wait(int pending);

}  // namespace moesim::emulation

#define threadIdx (::moesim::emulation::place().thread)
#define blockIdx (::moesim::emulation::place().block)
#define blockDim (::moesim::emulation::place().threads)
#define gridDim (::moesim::emulation::place().blocks)
#undef __launch_bounds__
#define __launch_bounds__(...)

using std::max;
using std::min;

inline void __syncthreads() { moesim::emulation::block_barrier(); }
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return moesim::emulation::exchanged(
      value)[moesim::emulation::lane() ^ static_cast<std::size_t>(mask)];
}
inline int atomicAdd(int* target, int value) { return std::exchange(*target, *target + value); }
inline int atomicMax(int* target, int value) {
  return std::exchange(*target, std::max(*target, value));
}
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline int __float_as_int(float x) {
  int bits = 0;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
