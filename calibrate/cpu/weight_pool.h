// Large aligned memory with reproducible contents: the weights of every expert that is measured or
// run.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace moesim {

struct FreeMemory {
  void operator()(float* memory) const;
};
// Zeros on a page boundary (O_DIRECT asks for it), with huge pages where the system
// gives them.
std::unique_ptr<float[], FreeMemory> aligned_floats(std::size_t count);

class WeightPool {
 public:
  // Values uniform in [-scale, scale], a fixed function of their index. Throws std::bad_alloc, and
  // Interrupted once `cancel` is true.
  WeightPool(std::int64_t bytes, float scale, const std::atomic<bool>* cancel = nullptr);

  [[nodiscard]] std::int64_t bytes() const { return bytes_; }
  [[nodiscard]] std::span<const float> floats() const {
    return {memory_.get(), static_cast<std::size_t>(bytes_) / sizeof(float)};
  }
  // Matrix number `index` of a sequence of matrices of that many floats.
  [[nodiscard]] const float* matrix(std::int64_t index, std::int64_t floats_each) const;
  [[nodiscard]] std::int64_t matrices(std::int64_t floats_each) const;

 private:
  std::int64_t bytes_;
  std::unique_ptr<float[], FreeMemory> memory_;
};

// Reads `bytes` from `from` on, one cache line after the other; returns a sum, so that it happens.
float read_through(const float* from, std::int64_t bytes);

}  // namespace moesim
