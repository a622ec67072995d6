// MOESIM_CHECK for cuBLAS and NCCL.
#pragma once

#include <cublas_v2.h>
#include <nccl.h>

#include "calibrate/cuda/device/check.h"

namespace moesim::bench {

void check(cublasStatus_t code, const char* call, const char* file, int line);
void check(ncclResult_t code, const char* call, const char* file, int line);

}  // namespace moesim::bench
