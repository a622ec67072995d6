// Experts start as tokens arrive: every rank sends the others their rows first, computes its own
// rows meanwhile, and the others' when all of them have been sent.
#pragma once

#include "sim/engine/schedule/schedule.h"

namespace moesim::testing {

// Parts of a send: 0 to other ranks, 1 to the own; of experts: 0 own rows, 1 the others'.
inline Work arrival_work(int layers) {
  Work work;
  std::vector<WorkEdge> before;
  for (int layer = 0; layer < layers; ++layer) {
    const auto add = [&work, layer](WorkKind kind, int part, std::vector<WorkEdge> after) {
      return WorkEdge{work.add({.kind = kind, .layer = layer, .part = part}, after)};
    };
    const WorkEdge router = add(WorkKind::router, 0, before);
    const WorkEdge away = add(WorkKind::send, 0, {router});
    const WorkEdge kept = add(WorkKind::send, 1, {router});
    const WorkEdge own = add(WorkKind::experts, 0, {kept});
    const WorkEdge others = add(WorkKind::experts, 1, {{away.node, EdgeScope::group}});
    before = {own, {others.node, EdgeScope::group}};
  }
  return work;
}

// Sends on one stream, kernels on another.
inline Schedule by_arrival(const Work& work) {
  Schedule schedule{.order = {}, .streams = 2};
  for (std::int32_t id = 0; id < static_cast<std::int32_t>(work.nodes().size()); ++id) {
    schedule.order.push_back({id, work.node(id).kind == WorkKind::send ? 1 : 0});
  }
  return schedule;
}

}  // namespace moesim::testing
