// Random operands and plain references for tests of the kernels.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp8.h>

#include <cmath>
#include <vector>

#include "sim/core/rng.h"

namespace moesim::test {

using Bf16 = __nv_bfloat16;
using Fp8 = __nv_fp8_e4m3;

template <class T>
std::vector<T> random_values(std::size_t count, Rng& rng, float scale = 1) {
  std::vector<T> values;
  for (std::size_t i = 0; i < count; ++i) {
    values.push_back(static_cast<T>(scale * static_cast<float>(2 * rng.uniform() - 1)));
  }
  return values;
}

template <class T>
double number(T value) {
  return static_cast<double>(static_cast<float>(value));
}

struct AttentionSizes {
  int batch, queries, keys, heads, kv_heads, qk_dim, v_dim;
  double width;  // scores are divided by its square root
};

// Query i of a sequence sees keys up to keys - queries + i. `v_stride`: of a token's head; v may be
// part of k.
template <class T>
std::vector<double> attention_reference(const AttentionSizes& s, const std::vector<Bf16>& q,
                                        const std::vector<T>& k, const std::vector<T>& v,
                                        int v_stride) {
  const auto at = [](const auto& values, int token, int heads, int head, int stride, int d) {
    return number(values[static_cast<std::size_t>((token * heads + head) * stride + d)]);
  };
  std::vector<double> out;
  for (int row = 0; row < s.batch * s.queries * s.heads; ++row) {
    const int head = row % s.heads;
    const int query = row / s.heads;
    const int first = query / s.queries * s.keys;
    const int count = s.keys - s.queries + query % s.queries + 1;
    const int kv_head = head / (s.heads / s.kv_heads);
    std::vector<double> weights;
    double sum = 0;
    for (int key = 0; key < count; ++key) {
      double score = 0;
      for (int d = 0; d < s.qk_dim; ++d) {
        score += at(q, query, s.heads, head, s.qk_dim, d) *
                 at(k, first + key, s.kv_heads, kv_head, s.qk_dim, d);
      }
      weights.push_back(std::exp(score / std::sqrt(s.width)));
      sum += weights.back();
    }
    for (int d = 0; d < s.v_dim; ++d) {
      double value = 0;
      for (int key = 0; key < count; ++key) {
        value += weights[static_cast<std::size_t>(key)] / sum *
                 at(v, first + key, s.kv_heads, kv_head, v_stride, d);
      }
      out.push_back(value);
    }
  }
  return out;
}

// Largest difference; infinite when a value is no number.
template <class T>
double largest_error(const std::vector<T>& found, const std::vector<double>& expected) {
  double largest = found.size() == expected.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < std::min(found.size(), expected.size()); ++i) {
    const double error = std::abs(number(found[i]) - expected[i]);
    largest = error <= largest ? largest : (std::isfinite(error) ? error : INFINITY);
  }
  return largest;
}

}  // namespace moesim::test
