// Owners of what CUDA hands out. Destructors cannot throw, and what fails there (a context that is
// broken already) has been reported by the call that broke it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "calibrate/cuda/device/check.h"
#include "calibrate/cuda/host/session.h"
#include "sim/core/units.h"

namespace moesim::bench {

template <class Handle, cudaError_t (*destroy)(Handle)>
class Owned {
 public:
  Owned() = default;
  explicit Owned(Handle handle) : handle_(handle) {}
  Owned(Owned&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Owned& operator=(Owned&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() {
    if (handle_ != nullptr) {
      static_cast<void>(destroy(handle_));
    }
  }
  [[nodiscard]] Handle get() const { return handle_; }

 private:
  Handle handle_ = nullptr;
};

using Stream = Owned<cudaStream_t, cudaStreamDestroy>;
using Event = Owned<cudaEvent_t, cudaEventDestroy>;
using Graph = Owned<cudaGraph_t, cudaGraphDestroy>;
using GraphExec = Owned<cudaGraphExec_t, cudaGraphExecDestroy>;
using DeviceMemory = Owned<void*, cudaFree>;
using PinnedMemory = Owned<void*, cudaFreeHost>;

inline Stream make_stream() {
  cudaStream_t stream = nullptr;
  MOESIM_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  return Stream(stream);
}

inline Event make_event() {
  cudaEvent_t event = nullptr;
  MOESIM_CHECK(cudaEventCreate(&event));
  return Event(event);
}

// Throws Unsupported where there is too little memory: estimates leave out what libraries keep, and
// one case that is too large shall not end a run of thousands.
inline void check_allocation(cudaError_t code, const char* call, const char* file, int line) {
  if (code == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());  // it does not stick; this forgets it
    throw Unsupported("memory does not suffice after all");
  }
  check(code, call, file, line);
}

inline DeviceMemory make_device_memory(std::size_t bytes) {
  void* memory = nullptr;
  check_allocation(cudaMalloc(&memory, bytes), "cudaMalloc", __FILE__, __LINE__);
  return DeviceMemory(memory);
}

inline PinnedMemory make_pinned(std::size_t bytes) {
  void* memory = nullptr;
  check_allocation(cudaMallocHost(&memory, bytes), "cudaMallocHost", __FILE__, __LINE__);
  return PinnedMemory(memory);
}

// Device memory of `sets` equally large, aligned parts that launches take in turn.
class RotatingBuffer {
 public:
  RotatingBuffer() = default;
  RotatingBuffer(std::size_t set_bytes, int sets)
      : stride_((set_bytes + alignment - 1) / alignment * alignment), sets_(sets) {
    memory_ = make_device_memory(stride_ * static_cast<std::size_t>(sets));
  }
  template <class T = void>
  [[nodiscard]] T* set(int index) const {
    auto* base = static_cast<std::byte*>(memory_.get());
    return reinterpret_cast<T*>(base + stride_ * static_cast<std::size_t>(index % sets_));
  }
  [[nodiscard]] std::size_t bytes() const { return stride_ * static_cast<std::size_t>(sets_); }

 private:
  static constexpr std::size_t alignment = 512;
  DeviceMemory memory_;
  std::size_t stride_ = 0;
  int sets_ = 1;
};

// A copy of host values; blocks until they are there.
template <class T>
RotatingBuffer uploaded(std::span<const T> values) {
  RotatingBuffer buffer(values.size_bytes(), 1);
  MOESIM_CHECK(
      cudaMemcpy(buffer.set(0), values.data(), values.size_bytes(), cudaMemcpyHostToDevice));
  return buffer;
}

}  // namespace moesim::bench
