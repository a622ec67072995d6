// The pieces of a pass, with neighbouring kernels joined: what becomes a task each.
#pragma once

#include <map>
#include <vector>

#include "sim/training/iteration_work.h"

namespace moesim {

struct PassStep {
  std::vector<KernelRun> runs{};  // empty: an exchange
  ExchangeKind exchange = ExchangeKind::send;
  std::int32_t layer = -1;     // of the last run
  std::int32_t decision = -1;  // see WorkPiece
  bool ahead = false;          // see WorkPiece
  bool ends_layer = false;     // the layer's last step

  [[nodiscard]] bool is_exchange() const { return runs.empty(); }
};

// `by_layer`: steps end where layers end.
std::vector<PassStep> join_kernels(std::span<const WorkPiece> pieces, bool by_layer);

// How two passes take turns on a device that runs kernels of one beside exchanges of the other:
// the order in which their steps are handed to the streams, true for a step of the second. The next
// step is always the one that can begin first if every step takes `seconds` alone; of equals, the
// second's.
std::vector<bool> take_turns(std::span<const PassStep> first, std::span<const double> first_seconds,
                             std::span<const PassStep> second,
                             std::span<const double> second_seconds);

}  // namespace moesim
