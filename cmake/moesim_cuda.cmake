# MOESIM_NVCC: the CUDA compiler, in PATH or where NVIDIA's packages put it; MOESIM_NCCL_INCLUDE and
# MOESIM_NCCL_LIBRARY: NVIDIA's collectives. All three are needed for calibrate/cuda.
find_program(MOESIM_NVCC nvcc HINTS /usr/local/cuda/bin)
if(MOESIM_NVCC)
  # nvcc may be a link; the toolkit's folder is where it really lies.
  file(REAL_PATH "${MOESIM_NVCC}" nvcc_path)
  cmake_path(GET nvcc_path PARENT_PATH nvcc_folder)
  cmake_path(GET nvcc_folder PARENT_PATH MOESIM_CUDA_ROOT)
endif()
find_path(MOESIM_NCCL_INCLUDE nccl.h HINTS "${MOESIM_CUDA_ROOT}/include")
find_library(MOESIM_NCCL_LIBRARY nccl HINTS "${MOESIM_CUDA_ROOT}/lib" "${MOESIM_CUDA_ROOT}/lib64")
if(MOESIM_NVCC AND MOESIM_NCCL_INCLUDE AND MOESIM_NCCL_LIBRARY)
  set(MOESIM_CUDA_FOUND ON)
else()
  set(MOESIM_CUDA_FOUND OFF)
endif()
