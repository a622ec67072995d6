// What only PTX can say: tensor-core products and asynchronous copies. emulator/ has the same
// functions for the processor.
//
// Fragments of mma.sync (PTX ISA, "Matrix fragments for mma.m16n8k16 / m16n8k32"): with
// group = lane / 4 and quad = lane % 4, a thread holds of the 16x8 result c[0..1] = row `group`,
// columns 2 quad + {0, 1}, and c[2..3] = row group + 8. Operand A is row-major, B column-major,
// both in 32-bit registers of neighbouring k.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace moesim::bench {

__device__ inline void mma_bf16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Two 8x8 blocks of 16-bit values, transposed while they are read: the fragments of B for
// operands that are stored with n contiguous. Lanes 0-15 give the addresses of the 16 rows.
__device__ inline void load_transposed(std::uint32_t& b0, std::uint32_t& b1, const void* row) {
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
               : "=r"(b0), "=r"(b1)
               : "r"(address));
}

// 16 bytes from global to shared memory; zeros where not `valid`.
__device__ inline void copy_async(void* shared, const void* global, bool valid) {
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(global),
               "r"(bytes)
               : "memory");
}
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Until at most `pending` of the committed groups are under way.
template <int pending>
__device__ inline void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

// int8 with whole-number sums; fp8 (e4m3) from compute capability 8.9 on.
__device__ inline void mma_8bit(int (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ inline void mma_8bit([[maybe_unused]] float (&c)[4],
                                [[maybe_unused]] const std::uint32_t (&a)[4],
                                [[maybe_unused]] std::uint32_t b0,
                                [[maybe_unused]] std::uint32_t b1) {
#if __CUDA_ARCH__ >= 890
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  __trap();  // no fp8 tensor cores; the benchmarks leave these cases out
#endif
}

}  // namespace moesim::bench
