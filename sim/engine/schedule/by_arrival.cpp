// Experts start as tokens arrive: a rank computes its own rows first, then those of its node, then
// those of other nodes, each as soon as they are there; what travels within nodes and what travels
// between them do so side by side, and so do the results.
#include <array>

#include "sim/engine/schedule/schedule.h"

namespace moesim {

OverlapEntry by_arrival_entry() {
  static constexpr std::array<std::string_view, 3> streams{"kernels", "within nodes",
                                                           "between nodes"};
  return {.name = "by_arrival",
          .summary = "experts work on rows of the own rank, the node, other nodes as these arrive",
          .parts = PartRule::sources,
          .streams = streams,
          .make = [](const Work& work, const OverlapOptions&) {
            return on_streams(work, work_order(work), [](const WorkNode& node) {
              const bool far = node.part == static_cast<std::int32_t>(SourcePart::far);
              return !exchanges(node) ? 0 : far ? 2 : 1;
            });
          }};
}

}  // namespace moesim
