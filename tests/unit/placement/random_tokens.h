// Small random placement problems with loads, transitions and token sets of the same tokens.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "placement/problem.h"
#include "placement/solver.h"
#include "sim/core/rng.h"

namespace moesim::testing {

struct RandomShape {
  int layers = 3;
  int experts = 6;
  int devices = 3;
  int devices_per_node = 3;
  int top_k = 2;
  CommModel comm = CommModel::interlayer;
  bool exact = true;
  bool uneven = false;  // slowness
  bool forbidding = false;
};

// The experts of one token in every layer. Tokens have favourites: affinity and hot experts.
inline std::vector<std::vector<std::size_t>> token_path(const RandomShape& shape, Rng& rng) {
  const auto experts = std::size_t(shape.experts);
  const auto taste = rng.below(experts);
  std::vector<std::vector<std::size_t>> path;
  for (int l = 0; l < shape.layers; ++l) {
    std::vector<std::size_t> order(experts);
    std::iota(order.begin(), order.end(), std::size_t{0});
    shuffle(std::span(order), rng);
    if (rng.below(3) > 0) {
      std::iter_swap(order.begin(), std::ranges::find(order, taste * taste / experts));
    }
    order.resize(std::size_t(shape.top_k));
    path.push_back(order);
  }
  return path;
}

inline void count_path(const std::vector<std::vector<std::size_t>>& path, PlacementProblem& p) {
  for (std::size_t l = 0; l < path.size(); ++l) {
    for (const std::size_t e : path[l]) {
      p.loads[l][e] += 1.0;
      p.token_sets[l].push_back(static_cast<std::uint16_t>(e));
    }
  }
  for (std::size_t l = 0; l + 1 < path.size(); ++l) {
    for (const std::size_t a : path[l]) {
      for (const std::size_t b : path[l + 1]) {
        p.transitions[l][a * std::size_t(p.experts) + b] += 1.0;
      }
    }
  }
}

inline PlacementProblem tokens_problem(const RandomShape& shape, std::uint64_t seed) {
  constexpr int tokens = 60;
  Rng rng(seed);
  PlacementProblem p;
  p.name = "random";
  p.layers = shape.layers;
  p.experts = shape.experts;
  p.devices = shape.devices;
  p.devices_per_node = shape.devices_per_node;
  p.top_k = shape.top_k;
  p.capacity.assign(std::size_t(shape.devices),
                    (shape.experts + shape.devices - 1) / shape.devices + (shape.exact ? 0 : 1));
  p.exact_capacity = shape.exact && shape.experts % shape.devices == 0;
  p.comm = shape.comm;
  p.alpha = 1.0 + static_cast<double>(rng.below(3));
  p.c_inter = 1.0 + static_cast<double>(rng.below(3));
  const auto experts = std::size_t(shape.experts);
  p.loads.assign(std::size_t(shape.layers), std::vector<double>(experts, 0.0));
  p.transitions.assign(std::size_t(shape.layers) - 1, std::vector<double>(experts * experts, 0.0));
  p.token_sets.resize(std::size_t(shape.layers));
  for (int token = 0; token < tokens; ++token) {
    count_path(token_path(shape, rng), p);
  }
  if (shape.uneven) {
    for (int g = 0; g < shape.devices; ++g) {
      p.slowness.push_back(1.0 + static_cast<double>(rng.below(3)) / 2.0);
    }
  }
  if (shape.forbidding) {
    p.forbidden.assign(std::size_t(shape.layers) * experts * std::size_t(shape.devices), 0);
    p.forbidden[rng.below(p.forbidden.size())] = 1;
  }
  return p;
}

// Some feasible assignment (rules of `forbidden` aside).
inline Assignment random_assignment(const PlacementProblem& p, Rng& rng) {
  Assignment devices;
  for (int l = 0; l < p.layers; ++l) {
    std::vector<std::int32_t> slots;
    for (int g = 0; g < p.devices; ++g) {
      slots.insert(slots.end(), std::size_t(p.capacity[std::size_t(g)]), g);
    }
    shuffle(std::span(slots), rng);
    devices.insert(devices.end(), slots.begin(), slots.begin() + p.experts);
  }
  return devices;
}

}  // namespace moesim::testing
