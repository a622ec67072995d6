// The dual of the b-matching relaxation of one layer pair, with load constraints.
//
// Any placement gives 0 <= x_ab <= y_ab <= 1 (same device, same node) with
//   sum_b x_ab <= slots,              sum_b y_ab <= slots * s       (s devices per node)
//   sum_b w_b x_ab <= M_(l+1),        sum_b w_b y_ab <= s * M_(l+1)
// and the same for columns with M_l: an expert's device holds at most `slots` experts of the other
// layer, whose loads sum to at most that layer's maximum. With replicas, x_ab is the mean over
// replicas of a of the share of b that lives there: the inequalities still hold under an even
// split. For any multipliers >= 0 the kept weight is at most
//   sum_ab max(0, r2, r1 + r2) + slots * (sum u + sum v) + ... + M_(l+1) * sum p + M_l * sum q
// where r = weight * T_ab - u_a - v_b - p_a w_b - q_b w_a, once for x and once for y.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "placement/bounds/bounds.h"
#include "sim/core/index.h"

namespace moesim {
namespace {

// Four columns of a row at a time (vectors of GCC and clang, SSE on x86): compilers do not find the
// way from the loop over single columns. The order of additions is fixed.
constexpr std::size_t k_lanes = 4;
using Lanes = float __attribute__((vector_size(k_lanes * sizeof(float))));

Lanes load(const float* values) {
  Lanes lanes;
  std::memcpy(&lanes, values, sizeof lanes);
  return lanes;
}
void add(float* values, Lanes more) {
  const Lanes sum = load(values) + more;
  std::memcpy(values, &sum, sizeof sum);
}
float total(Lanes lanes) { return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]); }

// The multipliers of one kind of pair (same device, same node), and what the relaxed pairs use up
// of each constraint. Loads are in units of their mean: their constraints then weigh like degrees.
struct Level {
  float weight = 0.0F;  // of a kept pair
  float degree = 0.0F;  // partners at most
  float share = 0.0F;   // of a device's largest load: partners' load at most share * M
  struct Values {
    std::vector<float> row;          // u
    std::vector<float> column;       // v
    std::vector<float> row_load;     // p
    std::vector<float> column_load;  // q

    void reset(std::size_t n) {
      for (auto* values : {&row, &column, &row_load, &column_load}) {
        values->assign(n, 0.0F);
      }
    }
  };
  Values price;
  Values used;
};

class PairDual {
 public:
  PairDual(const PlacementProblem& p, int layer, bool with_loads, double from_most, double to_most)
      : n_(at(p.experts)),
        width_((n_ + k_lanes - 1) / k_lanes * k_lanes),
        exact_pairs_(p.transitions[at(layer)]),
        with_loads_(with_loads) {
    from_scale_ = std::max(p.total_load(layer) / p.experts, 1e-300);
    to_scale_ = std::max(p.total_load(layer + 1) / p.experts, 1e-300);
    pair_scale_ = std::max(
        std::accumulate(exact_pairs_.begin(), exact_pairs_.end(), 0.0) / p.experts, 1e-300);
    pairs_.assign(n_ * width_, 0.0F);
    from_.assign(width_, 0.0F);
    to_.assign(width_, 0.0F);
    for (std::size_t a = 0; a < n_; ++a) {
      from_[a] = static_cast<float>(p.loads[at(layer)][a] / from_scale_);
      to_[a] = static_cast<float>(p.loads[at(layer) + 1][a] / to_scale_);
      for (std::size_t b = 0; b < n_; ++b) {
        pairs_[a * width_ + b] = static_cast<float>(exact_pairs_[a * n_ + b] / pair_scale_);
      }
    }
    slowest_ = p.slowness.empty() ? 1.0 : *std::ranges::min_element(p.slowness);
    from_most_ = static_cast<float>(from_most / (from_scale_ * slowest_));
    to_most_ = static_cast<float>(to_most / (to_scale_ * slowest_));
    const int slots = *std::ranges::max_element(p.capacity);
    // One node: no pair leaves it, and being in it keeps nothing.
    const double beyond = p.nodes() > 1 ? p.c_inter - p.c_intra : 0.0;
    cost_scale_ = std::max(p.c_intra, beyond) > 0.0 ? std::max(p.c_intra, beyond) : 1.0;
    device_.weight = static_cast<float>(p.c_intra / cost_scale_);
    device_.degree = static_cast<float>(slots);
    device_.share = 1.0F;
    node_.weight = static_cast<float>(beyond / cost_scale_);
    node_.degree = static_cast<float>(slots * p.devices_per_node);
    node_.share = static_cast<float>(p.devices_per_node);
    levels_ = node_.weight > 0.0F ? 2 : 1;
    device_.price.reset(width_);
    node_.price.reset(width_);
  }

  RetainedBound best(double target, int iterations, const SolverRun& run) {
    const double goal = target / (pair_scale_ * cost_scale_);
    double value = value_and_use();
    double least = value;
    Level::Values best_device = device_.price;
    Level::Values best_node = node_.price;
    double eagerness = 1.0;
    int failures = 0;
    // A few steps even when time is up: without any there is hardly a bound.
    constexpr int at_least = 10;
    for (int i = 0; i < iterations && (i < at_least || !run.stopped()); ++i) {
      step(eagerness * (value - goal));
      value = value_and_use();
      if (value < least - 1e-6 * std::abs(least)) {
        least = value;
        best_device = device_.price;
        best_node = node_.price;
        failures = 0;
      } else if (++failures >= 6) {
        device_.price = best_device;
        node_.price = best_node;
        value = value_and_use();
        eagerness /= 2.0;
        failures = 0;
      }
    }
    device_.price = best_device;
    node_.price = best_node;
    return exact();
  }

 private:
  double value_and_use() {
    device_.used.reset(width_);
    node_.used.reset(width_);
    double inner = 0.0;
    for (std::size_t a = 0; a < n_; ++a) {
      inner += levels_ == 2 ? relaxed_row<true>(a) : relaxed_row<false>(a);
    }
    return inner + linear(device_) + (levels_ == 2 ? linear(node_) : 0.0);
  }

  // sum_b max(0, r2, r1 + r2) of one row; without a node level r2 = 0.
  template <bool two_levels>
  double relaxed_row(std::size_t a) {
    const float* pairs = &pairs_[a * width_];
    const float w = from_[a];
    const Lanes zero = {};
    const Lanes one = zero + 1.0F;
    Lanes inner = {};
    Lanes device_count = {};
    Lanes device_sum = {};
    Lanes node_count = {};
    Lanes node_sum = {};
    for (std::size_t b = 0; b < width_; b += k_lanes) {
      const Lanes weight = load(&pairs[b]);
      const Lanes to = load(&to_[b]);
      const Lanes x = residual(device_, a, b, weight, to, w);
      Lanes both = x > zero ? x : zero;
      if constexpr (two_levels) {
        both += residual(node_, a, b, weight, to, w);
      }
      const Lanes taken = both > zero ? one : zero;
      const Lanes held = x > zero ? taken : zero;
      inner += both > zero ? both : zero;
      device_count += held;
      device_sum += held * to;
      add(&device_.used.column[b], held);
      add(&device_.used.column_load[b], held * w);
      if constexpr (two_levels) {
        node_count += taken;
        node_sum += taken * to;
        add(&node_.used.column[b], taken);
        add(&node_.used.column_load[b], taken * w);
      }
    }
    device_.used.row[a] = total(device_count);
    device_.used.row_load[a] = total(device_sum);
    node_.used.row[a] = total(node_count);
    node_.used.row_load[a] = total(node_sum);
    return double{total(inner)};
  }

  static Lanes residual(const Level& level, std::size_t a, std::size_t b, Lanes pairs, Lanes to,
                        float from) {
    return level.weight * pairs - level.price.row[a] - load(&level.price.column[b]) -
           level.price.row_load[a] * to - from * load(&level.price.column_load[b]);
  }
  static double sum(const std::vector<float>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0);
  }

  [[nodiscard]] double linear(const Level& level) const {
    return double{level.degree} * (sum(level.price.row) + sum(level.price.column)) +
           double{level.share} * (double{to_most_} * sum(level.price.row_load) +
                                  double{from_most_} * sum(level.price.column_load));
  }

  // One projected step of Polyak's length: `excess` / |violations|^2.
  void step(double excess) {
    double norm = 0.0;
    visit([&](float& price, float violation) {
      norm += violation < 0.0F && price == 0.0F ? 0.0 : double{violation} * double{violation};
    });
    if (norm == 0.0 || excess <= 0.0) {
      return;
    }
    const auto length = static_cast<float>(excess / norm);
    visit(
        [&](float& price, float violation) { price = std::max(0.0F, price + length * violation); });
  }

  template <class Do>
  void visit(Do&& act) {
    for (Level* level : {&device_, &node_}) {
      if (level == &node_ && levels_ == 1) {
        continue;
      }
      for (std::size_t i = 0; i < n_; ++i) {
        act(level->price.row[i], level->used.row[i] - level->degree);
        act(level->price.column[i], level->used.column[i] - level->degree);
        if (with_loads_) {
          act(level->price.row_load[i], level->used.row_load[i] - level->share * to_most_);
          act(level->price.column_load[i], level->used.column_load[i] - level->share * from_most_);
        }
      }
    }
  }

  // The bound that the prices prove, in double precision from the problem's own numbers.
  [[nodiscard]] RetainedBound exact() const {
    const auto exact_residual = [&](const Level& level, std::size_t a, std::size_t b) {
      return double{level.weight} * exact_pairs_[a * n_ + b] / pair_scale_ -
             double{level.price.row[a]} - double{level.price.column[b]} -
             double{level.price.row_load[a]} * double{to_[b]} -
             double{level.price.column_load[b]} * double{from_[a]};
    };
    double inner = 0.0;
    for (std::size_t a = 0; a < n_; ++a) {
      for (std::size_t b = 0; b < n_; ++b) {
        const double x = std::max(exact_residual(device_, a, b), 0.0);
        inner += std::max(0.0, levels_ == 2 ? x + exact_residual(node_, a, b) : x);
      }
    }
    const double unit = pair_scale_ * cost_scale_;
    // Weights and loads were rounded to floats: a share of 2^-24 each, of less than all pairs kept
    // and of the prices of full loads.
    RetainedBound bound;
    bound.constant = inner;
    for (const Level* level : {&device_, &node_}) {
      bound.constant += double{level->degree} * (sum(level->price.row) + sum(level->price.column));
      bound.to_load +=
          double{level->share} * sum(level->price.row_load) / (to_scale_ * slowest_) * unit;
      bound.from_load +=
          double{level->share} * sum(level->price.column_load) / (from_scale_ * slowest_) * unit;
    }
    const double rounding = 4.0 * 0x1p-24;
    bound.constant = bound.constant * unit * (1.0 + rounding);
    bound.to_load *= 1.0 + rounding;
    bound.from_load *= 1.0 + rounding;
    return bound;
  }

  std::size_t n_;
  std::size_t width_;  // columns, padded with experts without load and pairs
  const std::vector<double>& exact_pairs_;
  bool with_loads_;
  int levels_ = 1;
  double slowest_ = 1.0;
  double from_scale_ = 1.0;
  double to_scale_ = 1.0;
  double pair_scale_ = 1.0;
  double cost_scale_ = 1.0;
  float from_most_ = 0.0F;
  float to_most_ = 0.0F;
  std::vector<float> pairs_;  // [row * width + column]
  std::vector<float> from_;
  std::vector<float> to_;
  Level device_;
  Level node_;
};

}  // namespace

RetainedBound retained_bound(const PlacementProblem& problem, int layer, bool with_loads,
                             double from_most, double to_most, double target, int iterations,
                             const SolverRun& run) {
  return PairDual(problem, layer, with_loads, from_most, to_most).best(target, iterations, run);
}

}  // namespace moesim
