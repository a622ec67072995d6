// Brings the tokens of an expert-parallel rank into the order of its experts, and back.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace moesim::bench {

// choices: [tokens][top_k], the expert (0 <= e < experts <= 1024) or -1. Writes
// offsets[experts + 1], the first row of each expert; row_of_pair[tokens * top_k], -1 without an
// expert; token_of_row[pairs]. `cursors`: experts + 1 values of scratch space. The order of an
// expert's tokens is arbitrary.
void build_permutation(const std::int32_t* choices, int tokens, int top_k, int experts,
                       std::int32_t* offsets, std::int32_t* cursors, std::int32_t* row_of_pair,
                       std::int32_t* token_of_row, cudaStream_t stream);

// rows_out[r] = rows[token_of_row[r]]; a row has row_bytes, a multiple of 16.
void permute_rows(const void* rows, const std::int32_t* token_of_row, int pairs,
                  std::size_t row_bytes, void* rows_out, cudaStream_t stream);

// out[t] = sum over i of weights[t][i] * rows[row_of_pair[t][i]], in fp32, bf16 in and out; `half`:
// fp16. width: even.
void sum_rows(const void* rows, const std::int32_t* row_of_pair, const float* weights, int tokens,
              int top_k, int width, bool half, void* out, cudaStream_t stream);

}  // namespace moesim::bench
