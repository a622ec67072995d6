// SwiGLU between the products of an expert layer.
#pragma once

#include <cuda_runtime_api.h>

#include "calibrate/cuda/host/bench_case.h"

namespace moesim::bench {

// out[r][i] = silu(gate_up[r][i]) * gate_up[r][width + i]. gate_up: [rows][2 width], fp16 for
// float16, bf16 else. out: in `format`; fp8 and int8 are scaled by a constant, fp8_block by the
// largest magnitude of every 128 values, whose scale goes to scales[r][ceil(width / 128)].
// width: a multiple of 4.
void swiglu(const void* gate_up, int rows, int width, Format format, void* out, float* scales,
            cudaStream_t stream);

}  // namespace moesim::bench
