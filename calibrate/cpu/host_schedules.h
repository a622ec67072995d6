// In which order, and on which threads, ranks of this host do the work of their layers: a table of
// schedules in the engine's terms. A stream of a rank is a thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "sim/engine/schedule/schedule.h"

namespace moesim {

enum class HostOverlap : std::uint8_t {
  none,       // all dispatch, then all experts, then all combine
  arrival,    // experts start when their own rows are there
  two_batch,  // one rank, two threads: one moves a micro-batch while the other computes the other
};

// WorkNode::part of sends and experts: which rows, by the rank at their other side.
enum class RowPart : std::int32_t { all, own, others };

struct HostSchedule {
  std::string_view name;
  int threads_per_rank = 1;
  int micro_batches = 1;
  bool cuts_rows = false;  // own and others' rows are nodes apart
  Schedule (*make)(const Work&) = nullptr;
};

const HostSchedule& host_schedule(HostOverlap overlap);

// One file each; `none` is the engine's.
Schedule experts_by_arrival(const Work& work);
Schedule two_batches_on_two_threads(const Work& work);

}  // namespace moesim
