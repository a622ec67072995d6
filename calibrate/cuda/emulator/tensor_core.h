// The functions of kernels/tensor_core.cuh, written from the fragments' documentation (PTX ISA,
// "Matrix fragments for mma.m16n8k16 / m16n8k32", "ldmatrix").
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp8.h>

#include "calibrate/cuda/emulator/emulation.h"

namespace moesim::bench {

namespace emulated {

struct Operands {
  std::uint32_t a[4];
  std::uint32_t b[2];
};

template <class T>
T element(std::uint32_t word, int index) {
  std::array<T, 4 / sizeof(T)> values;
  std::memcpy(static_cast<void*>(values.data()), &word, sizeof word);
  return values[static_cast<std::size_t>(index)];
}

// A 16 x K times K x 8 product; a register holds `per_word` neighbours of k. Rows of A: lane / 4
// and 8 further; k: (lane % 4) * per_word, and 4 * per_word further in the second half.
template <class T, class Sum>
void product(Sum (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  constexpr int per_word = 4 / sizeof(T);
  const auto lanes = emulation::exchanged(Operands{{a[0], a[1], a[2], a[3]}, {b0, b1}});
  const int lane = static_cast<int>(emulation::lane());
  for (int i = 0; i < 4; ++i) {
    const int row = lane / 4 + 8 * (i / 2);
    const int column = 2 * (lane % 4) + i % 2;
    for (int k = 0; k < 8 * per_word; ++k) {
      const int half = k / (4 * per_word);
      const int quad = k % (4 * per_word) / per_word;
      const Operands& of_a = lanes[static_cast<std::size_t>(row % 8 * 4 + quad)];
      const Operands& of_b = lanes[static_cast<std::size_t>(column * 4 + quad)];
      const T x = element<T>(of_a.a[row / 8 + 2 * half], k % per_word);
      const T y = element<T>(of_b.b[half], k % per_word);
      c[i] += static_cast<Sum>(x) * static_cast<Sum>(y);
    }
  }
}

}  // namespace emulated

inline void mma_bf16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                     std::uint32_t b1) {
  emulated::product<__nv_bfloat16>(c, a, b0, b1);
}
inline void mma_8bit(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                     std::uint32_t b1) {
  emulated::product<__nv_fp8_e4m3>(c, a, b0, b1);
}
inline void mma_8bit(int (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  emulated::product<std::int8_t>(c, a, b0, b1);
}

// Lanes 0-7 give the rows of the first 8x8 matrix, 8-15 of the second; transposed, a lane gets
// rows 2 (lane % 4) + {0, 1} of column lane / 4.
inline void load_transposed(std::uint32_t& b0, std::uint32_t& b1, const void* row) {
  const auto rows = emulation::exchanged(static_cast<const std::uint16_t*>(row));
  const std::size_t lane = emulation::lane();
  const auto loaded = [&](std::size_t matrix) {
    const std::size_t first = 8 * matrix + 2 * (lane % 4);
    const std::uint32_t low = rows[first][lane / 4];
    const std::uint32_t high = rows[first + 1][lane / 4];
    return low | high << 16;
  };
  b0 = loaded(0);
  b1 = loaded(1);
}

inline void copy_async(void* shared, const void* global, bool valid) {
  emulation::copy_asynchronously(shared, global, 16, !valid);
}
inline void commit_copies() { emulation::commit(); }
template <int pending>
void wait_for_copies() {
  emulation::wait(pending);
}

}  // namespace moesim::bench
