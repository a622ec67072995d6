// The same layers by the textbook: one thread, double precision, no library.
#include <algorithm>
#include <cmath>
#include <vector>

#include "calibrate/cpu/moe_layer.h"

namespace moesim {
namespace {

using Vector = std::vector<double>;

Vector product(const float* w, std::size_t out, const Vector& x) {
  Vector y(out, 0.0);
  for (std::size_t o = 0; o < out; ++o) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      y[o] += static_cast<double>(w[o * x.size() + i]) * x[i];
    }
  }
  return y;
}

Vector expert(const ExpertShape& shape, const float* weights, const Vector& x) {
  const auto inter = static_cast<std::size_t>(shape.inter);
  const Vector gate_up = product(weights, 2 * inter, x);
  Vector h(inter);
  for (std::size_t i = 0; i < inter; ++i) {
    h[i] = gate_up[i] / (1.0 + std::exp(-gate_up[i])) * gate_up[inter + i];
  }
  return product(weights + 2 * shape.inter * shape.hidden, x.size(), h);
}

void one_layer(const MoeLayers& layers, const MoePlan& plan, const WeightPool& pool, int layer,
               const std::uint16_t* picks, Vector& x) {
  const MoeConfig& c = plan.config;
  const Vector logits = product(layers.gate_weights(layer), static_cast<std::size_t>(c.experts), x);
  double sum = 0.0;
  for (int j = 0; j < c.top_k; ++j) {
    sum += std::exp(logits[picks[j]]);
  }
  Vector next(x.size());
  std::ranges::transform(x, next.begin(), [](double value) { return value / 2; });
  for (int j = 0; j < c.top_k; ++j) {
    const Vector y = expert(
        c.shape,
        pool.matrix(static_cast<std::int64_t>(layer) * c.experts + picks[j], c.shape.weights()), x);
    for (std::size_t i = 0; i < x.size(); ++i) {
      next[i] += std::exp(logits[picks[j]]) / sum * y[i];
    }
  }
  x = next;
}

}  // namespace

double deviation_from_reference(const MoeLayers& layers, const MoePlan& plan,
                                const WeightPool& pool, int tokens) {
  const MoeConfig& c = plan.config;
  const auto hidden = static_cast<std::size_t>(c.shape.hidden);
  const std::int64_t all = c.ranks * c.tokens_per_rank;
  const std::int64_t sampled = std::min<std::int64_t>(tokens, all);
  double worst = 0.0;
  for (std::int64_t n = 0; n < sampled; ++n) {
    const std::int64_t at = n * all / sampled;
    const auto rank = static_cast<int>(at / c.tokens_per_rank);
    const std::int64_t token = at % c.tokens_per_rank;
    const auto input = layers.input().subspan(static_cast<std::size_t>(at) * hidden, hidden);
    Vector x(input.begin(), input.end());
    for (int l = 0; l < c.layers; ++l) {
      one_layer(layers, plan, pool, l, plan.picks(l, rank, token), x);
    }
    const auto got = layers.output(rank).subspan(static_cast<std::size_t>(token) * hidden, hidden);
    double largest = 0.0;
    double difference = 0.0;
    for (std::size_t i = 0; i < hidden; ++i) {
      largest = std::max(largest, std::abs(x[i]));
      difference = std::max(difference, std::abs(x[i] - static_cast<double>(got[i])));
    }
    worst = std::max(worst, difference / largest);
  }
  return worst;
}

}  // namespace moesim
