#include "calibrate/cpu/host_kernels.h"

#include <cblas.h>
#include <openblas_config.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr std::int64_t k_vector_rows = 7;           // up to here matrix-vector products are faster
constexpr std::int64_t k_block_bytes = 128 * 1024;  // stays in the second-level cache meanwhile

int blas_int(std::int64_t value) { return static_cast<int>(value); }

void matrix_product(const float* x, std::int64_t rows, std::int64_t in, const float* w,
                    std::int64_t out, float* y, std::int64_t y_stride) {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, blas_int(rows), blas_int(out), blas_int(in),
              1.0F, x, blas_int(in), w, blas_int(in), 0.0F, y, blas_int(y_stride));
}

void vector_product(const float* x, std::int64_t in, const float* w, std::int64_t out, float* y) {
  cblas_sgemv(CblasRowMajor, CblasNoTrans, blas_int(out), blas_int(in), 1.0F, w, blas_int(in), x, 1,
              0.0F, y, 1);
}

template <class Widen>
void linear_widened(const float* x, std::int64_t rows, std::int64_t in, std::int64_t out,
                    float* block, float* y, Widen widen) {
  for (std::int64_t first = 0; first < out; first += k_dequantised_rows) {
    const std::int64_t count = std::min(k_dequantised_rows, out - first);
    for (std::int64_t i = 0; i < count; ++i) {
      widen(first + i, block + i * in);
    }
    if (rows == 1) {
      vector_product(x, in, block, count, y + first);
    } else {
      matrix_product(x, rows, in, block, count, y + first, out);
    }
  }
}

void keep_best(const float* logits, std::int64_t experts, std::int64_t top_k, std::int32_t* best) {
  std::int64_t kept = 0;
  for (std::int64_t e = 0; e < experts; ++e) {
    if (kept == top_k && logits[e] <= logits[best[kept - 1]]) {
      continue;
    }
    std::int64_t place = kept < top_k ? kept++ : kept - 1;
    for (; place > 0 && logits[best[place - 1]] < logits[e]; --place) {
      best[place] = best[place - 1];
    }
    best[place] = static_cast<std::int32_t>(e);
  }
}

}  // namespace

void use_one_blas_thread() { openblas_set_num_threads(1); }

std::string blas_name() {
  const std::string config = openblas_get_config();  // "OpenBLAS 0.3.21 NO_LAPACKE ..."
  const auto second = config.find(' ', config.find(' ') + 1);
  return config.substr(0, second) + " " + openblas_get_corename();
}

void linear(const float* x, std::int64_t rows, std::int64_t in, const float* w, std::int64_t out,
            float* y) {
  if (rows > k_vector_rows) {
    matrix_product(x, rows, in, w, out, y, out);
    return;
  }
  const std::int64_t block = rows == 1 ? out : std::max<std::int64_t>(8, k_block_bytes / (4 * in));
  for (std::int64_t first = 0; first < out; first += block) {
    const std::int64_t count = std::min(block, out - first);
    for (std::int64_t r = 0; r < rows; ++r) {
      vector_product(x + r * in, in, w + first * in, count, y + r * out + first);
    }
  }
}

void expert_ffn(const ExpertShape& shape, const float* weights, const float* x, std::int64_t rows,
                float* scratch, float* y) {
  const std::int64_t inter = shape.inter;
  float* gate_up = scratch;
  float* product = scratch + 2 * inter * rows;
  linear(x, rows, shape.hidden, weights, 2 * inter, gate_up);
  for (std::int64_t r = 0; r < rows; ++r) {
    const float* g = gate_up + r * 2 * inter;
    const float* u = g + inter;
    float* p = product + r * inter;
    for (std::int64_t i = 0; i < inter; ++i) {
      p[i] = g[i] / (1.0F + std::exp(-g[i])) * u[i];
    }
  }
  linear(product, rows, inter, weights + 2 * inter * shape.hidden, shape.hidden, y);
}

void gate(const GateShape& shape, const float* weights, const float* x, std::int64_t rows,
          float* logits, std::int32_t* picks) {
  linear(x, rows, shape.hidden, weights, shape.experts, logits);
  for (std::int64_t r = 0; r < rows; ++r) {
    keep_best(logits + r * shape.experts, shape.experts, shape.top_k, picks + r * shape.top_k);
  }
}

void pick_weights(const GateShape& shape, const float* logits, std::int64_t rows,
                  const std::uint16_t* sent_to, float* weights) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const float* own = logits + r * shape.experts;
    const std::uint16_t* experts = sent_to + r * shape.top_k;
    float* w = weights + r * shape.top_k;
    float largest = own[experts[0]];
    for (std::int64_t j = 1; j < shape.top_k; ++j) {
      largest = std::max(largest, own[experts[j]]);
    }
    float sum = 0.0F;
    for (std::int64_t j = 0; j < shape.top_k; ++j) {
      w[j] = std::exp(own[experts[j]] - largest);
      sum += w[j];
    }
    for (std::int64_t j = 0; j < shape.top_k; ++j) {
      w[j] /= sum;
    }
  }
}

void copy_rows(std::span<const RowMove> moves, std::int64_t hidden) {
  const auto bytes = static_cast<std::size_t>(hidden) * sizeof(float);
  for (const RowMove& move : moves) {
    std::memcpy(move.to, move.from, bytes);
  }
}

void combine_row(float* x, std::span<const float* const> rows, std::span<const float> weights,
                 std::int64_t hidden) {
  cblas_sscal(blas_int(hidden), 0.5F, x, 1);
  for (std::size_t j = 0; j < rows.size(); ++j) {
    cblas_saxpy(blas_int(hidden), weights[j], rows[j], 1, x, 1);
  }
}

void attention_decode(const AttentionShape& shape, const float* query, const float* keys,
                      const float* values, float* scores, float* out) {
  const std::int64_t group = shape.heads / shape.kv_heads;
  const std::int64_t per_head = shape.length * shape.head_dim;
  const float scale = 1.0F / std::sqrt(static_cast<float>(shape.head_dim));
  for (std::int64_t h = 0; h < shape.kv_heads; ++h) {
    float* s = scores + h * group * shape.length;
    const float* q = query + h * group * shape.head_dim;
    linear(q, group, shape.head_dim, keys + h * per_head, shape.length, s);
    for (std::int64_t g = 0; g < group; ++g) {
      float* row = s + g * shape.length;
      const float largest = *std::max_element(row, row + shape.length);
      float sum = 0.0F;
      for (std::int64_t i = 0; i < shape.length; ++i) {
        row[i] = std::exp((row[i] - largest) * scale);
        sum += row[i];
      }
      cblas_sscal(blas_int(shape.length), 1.0F / sum, row, 1);
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, blas_int(group),
                blas_int(shape.head_dim), blas_int(shape.length), 1.0F, s, blas_int(shape.length),
                values + h * per_head, blas_int(shape.head_dim), 0.0F,
                out + h * group * shape.head_dim, blas_int(shape.head_dim));
  }
}

void linear_bf16(const float* x, std::int64_t rows, std::int64_t in, const std::uint16_t* w,
                 std::int64_t out, float* block, float* y) {
  linear_widened(x, rows, in, out, block, y, [&](std::int64_t row, float* to) {
    const std::uint16_t* from = w + row * in;
    for (std::int64_t i = 0; i < in; ++i) {
      to[i] = std::bit_cast<float>(static_cast<std::uint32_t>(from[i]) << 16);
    }
  });
}

void linear_int8(const float* x, std::int64_t rows, std::int64_t in, const std::int8_t* w,
                 const float* scales, std::int64_t out, float* block, float* y) {
  ensure(in % k_int8_group == 0, "int8 weights come in whole groups");
  linear_widened(x, rows, in, out, block, y, [&](std::int64_t row, float* to) {
    const std::int8_t* from = w + row * in;
    const float* scale = scales + row * (in / k_int8_group);
    for (std::int64_t i = 0; i < in; ++i) {
      to[i] = static_cast<float>(from[i]) * scale[i / k_int8_group];
    }
  });
}

}  // namespace moesim
