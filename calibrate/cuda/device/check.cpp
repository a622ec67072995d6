#include "calibrate/cuda/device/check.h"

#include "calibrate/cuda/device/check_libraries.h"
#include "calibrate/cuda/host/session.h"

namespace moesim::bench {

void fail_call(const char* call, const char* file, int line, const std::string& text) {
  throw DeviceError(std::string(file) + ":" + std::to_string(line) + ": " + call + ": " + text);
}

void check(cublasStatus_t code, const char* call, const char* file, int line) {
  if (code != CUBLAS_STATUS_SUCCESS) {
    fail_call(call, file, line,
              std::string(cublasGetStatusName(code)) + ": " + cublasGetStatusString(code));
  }
}

void check_offered(cublasStatus_t code, std::string_view what) {
  if (code == CUBLAS_STATUS_NOT_SUPPORTED || code == CUBLAS_STATUS_ARCH_MISMATCH) {
    throw Unsupported("cuBLAS has no " + std::string(what) + " here");
  }
}

void check(ncclResult_t code, const char* call, const char* file, int line) {
  if (code != ncclSuccess) {
    fail_call(call, file, line,
              std::string(ncclGetErrorString(code)) + ": " + ncclGetLastError(nullptr));
  }
}

}  // namespace moesim::bench
