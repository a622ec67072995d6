// Expert weights come from a lower tier on a stream of their own, a bounded number of layers ahead.
#pragma once

#include "sim/engine/schedule/schedule.h"

namespace moesim::testing {

// A layer's experts wait for its weights; weights wait until the buffer of the layer `ahead` before
// is free.
inline Work fetch_work(int layers, int ahead) {
  Work work;
  std::vector<std::int32_t> experts;
  for (int layer = 0; layer < layers; ++layer) {
    const auto add = [&work, layer](WorkKind kind, std::vector<WorkEdge> after) {
      return work.add({.kind = kind, .layer = layer}, after);
    };
    std::vector<WorkEdge> free;
    if (layer >= ahead) {
      free.push_back({experts[static_cast<std::size_t>(layer - ahead)]});
    }
    const std::int32_t fetched = add(WorkKind::weight_fetch, free);
    std::vector<WorkEdge> input;
    if (layer > 0) {
      input.push_back({experts.back()});
    }
    const std::int32_t attention = add(WorkKind::attention, input);
    experts.push_back(add(WorkKind::experts, {{attention}, {fetched}}));
  }
  return work;
}

inline Schedule fetch_beside(const Work& work) {
  Schedule schedule{.order = {}, .streams = 2};
  for (std::int32_t id = 0; id < static_cast<std::int32_t>(work.nodes().size()); ++id) {
    schedule.order.push_back({id, work.node(id).kind == WorkKind::weight_fetch ? 1 : 0});
  }
  return schedule;
}

}  // namespace moesim::testing
