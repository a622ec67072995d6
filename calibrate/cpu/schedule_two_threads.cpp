// Thread 0 routes, sends and receives one half of the tokens while thread 1 computes the other's
// experts. A half's turn ends with its experts.
#include <array>
#include <vector>

#include "calibrate/cpu/host_schedules.h"

namespace moesim {

Schedule two_batches_on_two_threads(const Work& work) {
  constexpr std::int32_t moves = 0;
  constexpr std::int32_t computes = 1;
  struct Half {
    std::vector<std::int32_t> nodes;
    std::size_t next = 0;
  };
  std::array<Half, 2> halves;
  for (std::int32_t id = 0; id < static_cast<std::int32_t>(work.nodes().size()); ++id) {
    halves.at(static_cast<std::size_t>(work.node(id).batch)).nodes.push_back(id);
  }
  Schedule schedule{.order = {}, .streams = 2};
  while (schedule.order.size() < work.nodes().size()) {
    for (Half& half : halves) {
      bool turn = true;
      while (turn && half.next < half.nodes.size()) {
        const std::int32_t id = half.nodes[half.next++];
        turn = work.node(id).kind != WorkKind::experts;
        schedule.order.push_back({id, turn ? moves : computes});
      }
    }
  }
  return schedule;
}

}  // namespace moesim
