// Every call into CUDA and its libraries goes through MOESIM_CHECK: a failure says which call,
// where, and what the library says about it.
#pragma once

#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

namespace moesim::bench {

class DeviceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws DeviceError("file:line: call: text").
[[noreturn]] void fail_call(const char* call, const char* file, int line, const std::string& text);

inline void check(cudaError_t code, const char* call, const char* file, int line) {
  if (code != cudaSuccess) {
    fail_call(call, file, line,
              std::string(cudaGetErrorName(code)) + ": " + cudaGetErrorString(code));
  }
}

}  // namespace moesim::bench

// A macro, since only that knows the text of the call.
#define MOESIM_CHECK(call) ::moesim::bench::check((call), #call, __FILE__, __LINE__)
