// 1F1B (PipeDream-Flush, arXiv:2104.04473): after a warm-up every stage alternates forward and
// backward passes.
#pragma once

#include <vector>

#include "sim/engine/schedule/schedule.h"

namespace moesim::testing {

struct Pipeline {
  Work work;
  std::vector<std::vector<std::int32_t>> forward;   // [stage][micro-batch]
  std::vector<std::vector<std::int32_t>> backward;  // [stage][micro-batch]
};

inline Pipeline pipeline_work(int stages, int micro_batches) {
  Pipeline p;
  p.forward.resize(static_cast<std::size_t>(stages));
  p.backward.resize(static_cast<std::size_t>(stages));
  const auto add = [&p](WorkKind kind, int stage, int m, std::vector<WorkEdge> after) {
    return p.work.add({.kind = kind, .batch = m, .stage = stage}, after);
  };
  for (int m = 0; m < micro_batches; ++m) {
    for (std::size_t s = 0; s < p.forward.size(); ++s) {
      std::vector<WorkEdge> after;
      if (s > 0) {
        after.push_back({p.forward[s - 1].back()});
      }
      p.forward[s].push_back(add(WorkKind::dense, static_cast<int>(s), m, after));
    }
    for (std::size_t s = p.forward.size(); s-- > 0;) {
      std::vector<WorkEdge> after{{p.forward[s].back()}};
      if (s + 1 < p.forward.size()) {
        after.push_back({p.backward[s + 1].back()});
      }
      p.backward[s].push_back(add(WorkKind::backward, static_cast<int>(s), m, after));
    }
  }
  return p;
}

// Each stage's own order, merged so that every node stands behind what it waits for.
inline Schedule one_forward_one_backward(const Pipeline& p) {
  const std::size_t stages = p.forward.size();
  const std::size_t micro_batches = p.forward.front().size();
  std::vector<std::vector<std::int32_t>> orders;
  for (std::size_t s = 0; s < stages; ++s) {
    auto& order = orders.emplace_back();
    const std::size_t warm_up = std::min(micro_batches, stages - s);
    for (std::size_t m = 0; m < warm_up; ++m) {
      order.push_back(p.forward[s][m]);
    }
    for (std::size_t m = 0; m < micro_batches; ++m) {
      order.push_back(p.backward[s][m]);
      if (m + warm_up < micro_batches) {
        order.push_back(p.forward[s][m + warm_up]);
      }
    }
  }
  Schedule schedule;
  std::vector<char> placed(p.work.nodes().size(), 0);
  std::vector<std::size_t> next(stages, 0);
  while (schedule.order.size() < placed.size()) {
    for (std::size_t s = 0; s < stages; ++s) {
      if (next[s] == orders[s].size()) {
        continue;
      }
      const std::int32_t node = orders[s][next[s]];
      bool ready = true;
      for (const WorkEdge& edge : p.work.after(node)) {
        ready = ready && placed[static_cast<std::size_t>(edge.node)] != 0;
      }
      if (ready) {
        schedule.order.push_back({node, 0});
        placed[static_cast<std::size_t>(node)] = 1;
        ++next[s];
      }
    }
  }
  return schedule;
}

}  // namespace moesim::testing
