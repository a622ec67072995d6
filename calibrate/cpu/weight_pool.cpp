#include "calibrate/cpu/weight_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "calibrate/cpu/interrupt.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr std::size_t k_huge_page = std::size_t{2} << 20;
constexpr std::size_t k_page = 4096;

}  // namespace

void FreeMemory::operator()(float* memory) const { std::free(memory); }

namespace {

struct Memory {
  std::unique_ptr<float[], FreeMemory> floats;
  std::size_t bytes = 0;
};

Memory allocate(std::size_t count) {
  const std::size_t wanted = std::max<std::size_t>(count, 1) * sizeof(float);
  const std::size_t unit = wanted >= k_huge_page ? k_huge_page : k_page;
  const std::size_t bytes = (wanted + unit - 1) / unit * unit;
  auto* memory = static_cast<float*>(std::aligned_alloc(unit, bytes));
  if (memory == nullptr) {
    throw std::bad_alloc();
  }
  if (unit == k_huge_page) {
    madvise(memory, bytes, MADV_HUGEPAGE);  // advice: a refusal only measures worse
  }
  return {std::unique_ptr<float[], FreeMemory>(memory), bytes};
}

}  // namespace

std::unique_ptr<float[], FreeMemory> aligned_floats(std::size_t count) {
  Memory memory = allocate(count);
  // The pages exist from here on: no measurement pays for them.
  std::memset(memory.floats.get(), 0, memory.bytes);
  return std::move(memory.floats);
}

WeightPool::WeightPool(std::int64_t bytes, float scale, const std::atomic<bool>* cancel)
    : bytes_(bytes), memory_(allocate(static_cast<std::size_t>(bytes) / sizeof(float)).floats) {
  // A linear congruence is random enough for weights and fills at memory speed.
  std::uint32_t state = 12345;
  const auto count = static_cast<std::size_t>(bytes) / sizeof(float);
  constexpr std::size_t floats_between_checks = std::size_t{1} << 21;
  for (std::size_t i = 0; i < count; ++i) {
    if (i % floats_between_checks == 0) {
      check_interrupt(cancel);
    }
    state = state * 1664525U + 1013904223U;
    memory_[i] = scale * (static_cast<float>(state >> 8) * 0x1p-23F - 1.0F);
  }
}

const float* WeightPool::matrix(std::int64_t index, std::int64_t floats_each) const {
  ensure(index >= 0 && index < matrices(floats_each), "the pool holds the matrix");
  return memory_.get() + index * floats_each;
}

std::int64_t WeightPool::matrices(std::int64_t floats_each) const {
  return bytes_ / 4 / floats_each;
}

float read_through(const float* from, std::int64_t bytes) {
  float sum = 0.0F;
  for (std::int64_t i = 0; i < bytes / 4; i += 16) {
    sum += from[i];
  }
  return sum;
}

}  // namespace moesim
