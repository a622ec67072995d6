// One batch; shared experts have a stream of their own, beside the dispatch and, where they take
// longer than that, the routed experts (sharing the device with them) and the combine. Megatron's
// moe-shared-expert-overlap and engines' alternate streams do so.
#include <array>

#include "sim/engine/schedule/schedule.h"

namespace moesim {

OverlapEntry shared_expert_entry() {
  static constexpr std::array<std::string_view, 3> streams{"kernels", "all-to-all", "shared"};
  return {.name = "shared_expert",
          .summary = "shared experts beside dispatch, experts and combine of one batch",
          .streams = streams,
          .make = [](const Work& work, const OverlapOptions&) {
            return on_streams(work, shared_behind_dispatch(work), [](const WorkNode& node) {
              return node.kind == WorkKind::shared ? 2 : exchanges(node) ? 1 : 0;
            });
          }};
}

}  // namespace moesim
