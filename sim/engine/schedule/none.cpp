// Everything of a rank runs one after the other, collectives included.
#include "sim/engine/schedule/schedule.h"

namespace moesim {

OverlapEntry none_entry() {
  return {.name = "none",
          .summary = "kernels and collectives of a rank run one after the other",
          .make = [](const Work& work, const OverlapOptions&) {
            return on_streams(work, work_order(work), [](const WorkNode&) { return 0; });
          }};
}

}  // namespace moesim
