// Rows for other ranks go first, since these wait for them; own rows, and the experts that need no
// others, fill the time until theirs are there.
#include "calibrate/cpu/host_schedules.h"

namespace moesim {

Schedule experts_by_arrival(const Work& work) {
  Schedule schedule;
  std::int32_t kept = -1;  // the layer's send of own rows
  for (std::int32_t id = 0; id < static_cast<std::int32_t>(work.nodes().size()); ++id) {
    const WorkNode& node = work.node(id);
    if (node.kind == WorkKind::send && node.part == static_cast<std::int32_t>(RowPart::own)) {
      kept = id;
      continue;
    }
    schedule.order.push_back({id, 0});
    if (kept >= 0) {
      schedule.order.push_back({kept, 0});
      kept = -1;
    }
  }
  return schedule;
}

}  // namespace moesim
