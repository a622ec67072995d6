// What the microbenchmarks and the Mixture-of-Experts layer both run: the same functions, so that a
// measured kernel is the executed kernel. All matrices are row-major fp32.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace moesim {

// OpenBLAS must not start threads of its own beside the team's. Process-wide, as OpenBLAS is.
void use_one_blas_thread();
std::string blas_name();  // "OpenBLAS 0.3.21 Haswell": version and the kernels chosen for this CPU

// y[rows][out] = x[rows][in] * w[out][in]^T. Few rows go through matrix-vector products, block of
// weights by block, because sgemm repacks all weights whatever the rows are.
void linear(const float* x, std::int64_t rows, std::int64_t in, const float* w, std::int64_t out,
            float* y);

// SwiGLU expert: y = (silu(x G^T) * (x U^T)) D^T. Weights: [2 inter][hidden] (G above U), then
// [hidden][inter].
struct ExpertShape {
  std::int64_t hidden = 0;
  std::int64_t inter = 0;

  [[nodiscard]] std::int64_t weights() const { return 3 * hidden * inter; }
  [[nodiscard]] std::int64_t weight_bytes() const { return 4 * weights(); }
  [[nodiscard]] std::int64_t scratch_floats(std::int64_t rows) const { return 3 * inter * rows; }

  friend bool operator==(const ExpertShape&, const ExpertShape&) = default;
};
void expert_ffn(const ExpertShape& shape, const float* weights, const float* x, std::int64_t rows,
                float* scratch, float* y);

// Router: logits[rows][experts] and each row's top_k experts, best first.
struct GateShape {
  std::int64_t hidden = 0;
  std::int64_t experts = 0;
  std::int64_t top_k = 0;
};
void gate(const GateShape& shape, const float* weights, const float* x, std::int64_t rows,
          float* logits, std::int32_t* picks);

// Softmax of every row's logits over the top_k experts that it is sent to.
void pick_weights(const GateShape& shape, const float* logits, std::int64_t rows,
                  const std::uint16_t* sent_to, float* weights);

struct RowMove {
  const float* from = nullptr;
  float* to = nullptr;
};
void copy_rows(std::span<const RowMove> moves, std::int64_t hidden);

// x <- x / 2 + sum_j weights[j] * rows[j]
void combine_row(float* x, std::span<const float* const> rows, std::span<const float> weights,
                 std::int64_t hidden);

// Decode attention of one query token: heads query heads share kv_heads; keys and values
// [kv_head][length][head_dim]; scores is scratch of heads * length.
struct AttentionShape {
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t length = 0;
};
void attention_decode(const AttentionShape& shape, const float* query, const float* keys,
                      const float* values, float* scores, float* out);

// Weights stored narrow, widened to fp32 block by block (rows of w) and then multiplied: bf16, and
// int8 with one scale per 128 weights of a row. in must be a multiple of 128 for int8.
void linear_bf16(const float* x, std::int64_t rows, std::int64_t in, const std::uint16_t* w,
                 std::int64_t out, float* block, float* y);
void linear_int8(const float* x, std::int64_t rows, std::int64_t in, const std::int8_t* w,
                 const float* scales, std::int64_t out, float* block, float* y);
inline constexpr std::int64_t k_dequantised_rows = 64;  // block: that many rows of `in` floats
inline constexpr std::int64_t k_int8_group = 128;

}  // namespace moesim
