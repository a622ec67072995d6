// MOESIM_CHECK for cuBLAS and NCCL.
#pragma once

#include <cublas_v2.h>
#include <nccl.h>

#include <string_view>

#include "calibrate/cuda/device/check.h"

namespace moesim::bench {

void check(cublasStatus_t code, const char* call, const char* file, int line);
void check(ncclResult_t code, const char* call, const char* file, int line);

// Throws Unsupported("cuBLAS has no ... here") where the library says that it does not offer this.
void check_offered(cublasStatus_t code, std::string_view what);

}  // namespace moesim::bench
