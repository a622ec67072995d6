// Dynamic shared memory of kernels that need more than what every device has.
#pragma once

#include <cuda_runtime_api.h>

#include "calibrate/cuda/device/check.h"
#include "calibrate/cuda/host/session.h"

namespace moesim::bench {

// Lets blocks of `kernel` have `bytes`. Throws Unsupported where the current device has less (some
// 100 KB on desktop and inference boards): that leaves out a case and must not end the run.
inline void allow_shared_memory(const void* kernel, int bytes) {
  int device = 0;
  int most = 0;
  MOESIM_CHECK(cudaGetDevice(&device));
  MOESIM_CHECK(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  if (bytes > most) {
    throw Unsupported("the own kernel needs " + std::to_string(bytes) +
                      " bytes of shared memory; blocks have " + std::to_string(most) + " here");
  }
  MOESIM_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
}

}  // namespace moesim::bench
