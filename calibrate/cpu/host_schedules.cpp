#include "calibrate/cpu/host_schedules.h"

#include <array>

namespace moesim {
namespace {

Schedule in_phases(const Work& work) { return none_entry().make(work, {}); }

// In the order of HostOverlap.
constexpr std::array schedules{
    HostSchedule{.name = "none", .make = in_phases},
    HostSchedule{.name = "arrival", .cuts_rows = true, .make = experts_by_arrival},
    HostSchedule{.name = "two_batch",
                 .threads_per_rank = 2,
                 .micro_batches = 2,
                 .make = two_batches_on_two_threads},
};
static_assert(schedules.size() == static_cast<std::size_t>(HostOverlap::two_batch) + 1);

}  // namespace

const HostSchedule& host_schedule(HostOverlap overlap) {
  return schedules.at(static_cast<std::size_t>(overlap));
}

}  // namespace moesim
