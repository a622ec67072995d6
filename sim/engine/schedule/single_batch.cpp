// One batch, its experts in two halves: shared experts run beside the dispatch, and the results of
// the first half travel while the second computes (SGLang's single-batch overlap,
// github.com/sgl-project/sglang pull request 9660, 2025-08-26: shared experts beside the receiving
// dispatch, the down product beside the sending combine).
//
//   kernels:     attention .. router | shared | experts 0 | experts 1 |
//   all-to-all:                      | dispatch           | combine 0 | combine 1
#include <array>

#include "sim/engine/schedule/schedule.h"

namespace moesim {

OverlapEntry single_batch_entry() {
  static constexpr std::array<std::string_view, 2> streams{"kernels", "all-to-all"};
  return {.name = "single_batch",
          .summary =
              "shared experts beside the dispatch, half of the experts beside the other's "
              "combine",
          .parts = PartRule::halves,
          .streams = streams,
          .make = [](const Work& work, const OverlapOptions&) {
            return on_streams(work, shared_behind_dispatch(work),
                              [](const WorkNode& node) { return exchanges(node) ? 1 : 0; });
          }};
}

}  // namespace moesim
