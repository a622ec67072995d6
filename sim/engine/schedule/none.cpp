// Everything of a rank runs one after the other, collectives included.
#include "sim/engine/schedule/schedule.h"

namespace moesim {

OverlapEntry none_entry() {
  return {.name = "none",
          .summary = "kernels and collectives of a rank run one after the other",
          .make = [](const Work& work, const OverlapOptions&) {
            Schedule schedule;
            for (std::int32_t id = 0; id < static_cast<std::int32_t>(work.nodes().size()); ++id) {
              schedule.order.push_back({id, 0});
            }
            return schedule;
          }};
}

}  // namespace moesim
