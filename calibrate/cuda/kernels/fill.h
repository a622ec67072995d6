// Random operands.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "calibrate/cuda/host/bench_case.h"

namespace moesim::bench {

// Uniform in [-1, 1) (int8: in [-127, 127]); pure in (seed, index). `bytes` is rounded down to
// whole values.
void fill_random(void* target, std::size_t bytes, Format format, std::uint32_t seed,
                 cudaStream_t stream);
// Every value the same.
void fill_constant(float* target, std::size_t count, float value, cudaStream_t stream);

}  // namespace moesim::bench
