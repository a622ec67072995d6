// Random small placement problems for property tests, and enumeration of all their placements.
#pragma once

#include <algorithm>
#include <functional>
#include <string>

#include "placement/evaluate.h"
#include "placement/problem.h"
#include "placement/solver.h"
#include "sim/core/rng.h"

namespace moesim::test {

// `slots` per GPU; exact mode if they are all filled. Inter-layer traffic: whole numbers.
inline PlacementProblem random_problem(Rng& rng, int layers, int experts, int gpus, int per_node,
                                       int slots) {
  PlacementProblem p;
  p.name = "random";
  p.layers = layers;
  p.experts = experts;
  p.devices = gpus;
  p.devices_per_node = per_node;
  p.capacity.assign(static_cast<std::size_t>(gpus), slots);
  p.exact_capacity = slots * gpus == experts;
  p.comm = CommModel::interlayer;
  p.alpha = static_cast<double>(1 + rng.below(4));
  p.beta = 1.0;
  p.c_intra = 1.0;
  p.c_inter = static_cast<double>(1 + rng.below(5));
  const auto n = static_cast<std::size_t>(experts);
  // A random walk of tokens: rows and columns agree with the loads by construction.
  p.loads.assign(static_cast<std::size_t>(layers), std::vector<double>(n, 0.0));
  p.transitions.assign(static_cast<std::size_t>(layers - 1), std::vector<double>(n * n, 0.0));
  for (int token = 0; token < 60; ++token) {
    std::size_t last = 0;
    for (std::size_t l = 0; l < p.loads.size(); ++l) {
      std::size_t e = std::min(rng.below(n), rng.below(n));
      if (l > 0 && rng.below(3) > 0) {
        e = (last * 3 + 1) % n;  // affinity
      }
      p.loads[l][e] += 1.0;
      if (l > 0) {
        p.transitions[l - 1][last * n + e] += 1.0;
      }
      last = e;
    }
  }
  return p;
}

// Every feasible [expert] -> GPU of one layer.
inline void for_each_layer(const PlacementProblem& p, int layer,
                           const std::function<void(const std::vector<int>&)>& visit) {
  std::vector<int> device;
  std::vector<int> used(static_cast<std::size_t>(p.devices), 0);
  const std::function<void()> place = [&] {
    if (device.size() == static_cast<std::size_t>(p.experts)) {
      visit(device);
      return;
    }
    const auto e = static_cast<int>(device.size());
    for (int g = 0; g < p.devices; ++g) {
      auto& count = used[static_cast<std::size_t>(g)];
      if (count < p.capacity[static_cast<std::size_t>(g)] && p.allowed(layer, e, g)) {
        ++count;
        device.push_back(g);
        place();
        device.pop_back();
        --count;
      }
    }
  };
  place();
}

inline double objective_of(const PlacementProblem& p, const Assignment& devices) {
  return evaluate(p, placement_of(p, devices)).objective;
}

// The least F over all placements.
inline double best_by_enumeration(const PlacementProblem& p) {
  double best = std::numeric_limits<double>::infinity();
  Assignment devices;
  const std::function<void(int)> layer = [&](int l) {
    if (l == p.layers) {
      best = std::min(best, objective_of(p, devices));
      return;
    }
    for_each_layer(p, l, [&](const std::vector<int>& device) {
      devices.insert(devices.end(), device.begin(), device.end());
      layer(l + 1);
      devices.resize(devices.size() - device.size());
    });
  };
  layer(0);
  return best;
}

}  // namespace moesim::test
