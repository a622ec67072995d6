// Experts that are sliced within a node (expert tensor parallelism): every slice receives its part
// of the rows between nodes, and the slices gather them within the node, compute, and add up their
// partial sums there before these travel home (FSMoE, arXiv:2501.10714, section 4). Chunks of the
// tokens keep three things busy at once: the links between nodes, those within, and kernels.
//
//   between nodes: dispatch 0 | dispatch 1 | ..                          | combine 0 | combine 1
//   within nodes:             | gather 0   | gather 1  | .. | scatter 0  | scatter 1 | ..
//   kernels:      .. router                | experts 0 | experts 1 | ..
#include <array>

#include "sim/engine/schedule/schedule.h"

namespace moesim {

OverlapEntry three_stream_entry() {
  static constexpr std::array<std::string_view, 3> streams{"kernels", "between nodes",
                                                           "within nodes"};
  return {.name = "three_stream",
          .summary = "chunks of the tokens; slices of experts gather and scatter on a third stream",
          .parts = PartRule::chunks,
          .gathers_in_units = true,
          .streams = streams,
          .make = [](const Work& work, const OverlapOptions&) {
            return on_streams(work, work_order(work), [](const WorkNode& node) {
              const bool within =
                  node.kind == WorkKind::unit_gather || node.kind == WorkKind::unit_scatter;
              return exchanges(node) ? 1 : within ? 2 : 0;
            });
          }};
}

}  // namespace moesim
