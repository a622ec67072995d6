// The tokens of one batch go through dispatch, experts and combine in `degree` chunks: a chunk's
// experts compute while the next one's tokens travel (Tutel's adaptive pipelining,
// arXiv:2206.03382, section 3.3; degrees 1, 2, 4, 8). All dispatches go first, then the combines.
//
//   kernels:     .. router |            | experts 0 | experts 1 | ..
//   all-to-all:            | dispatch 0 | dispatch 1 | ..       | combine 0 | combine 1 | ..
#include <array>

#include "sim/engine/schedule/schedule.h"

namespace moesim {

OverlapEntry chunked_entry() {
  static constexpr std::array<std::string_view, 2> streams{"kernels", "all-to-all"};
  return {.name = "chunked",
          .summary = "chunks of the tokens: one's experts beside others' dispatch and combine",
          .parts = PartRule::chunks,
          .streams = streams,
          .make = [](const Work& work, const OverlapOptions& options) {
            const int aside = options.degree == 1 ? 0 : 1;  // nothing to run beside
            return on_streams(work, work_order(work), [aside](const WorkNode& node) {
              return exchanges(node) ? aside : 0;
            });
          }};
}

}  // namespace moesim
