#include "calibrate/cpu/micro_usable.h"

#include <map>
#include <utility>

#include "sim/core/error.h"

namespace moesim {
namespace {

// Measured beside the others, but no profile reads them.
bool is_for_show(const std::string& kernel) {
  return kernel == "handoff_wait" || kernel == "handoff_condition";
}

struct Count {
  std::int64_t rows = 0;
  std::int64_t usable = 0;
};

}  // namespace

UsableMicro usable_micro(std::span<const MicroKey> keys, std::span<const MeasuredTime> times) {
  ensure(keys.size() == times.size(), "one time per case");
  const auto is_usable = [&](std::size_t i) { return times[i].rounds >= k_least_rounds; };
  std::map<std::pair<std::string, int>, Count> counts;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    Count& count = counts[{keys[i].kernel, keys[i].threads}];
    ++count.rows;
    count.usable += is_usable(i) ? 1 : 0;
  }
  UsableMicro usable;
  for (const auto& [of, count] : counts) {
    const auto& [kernel, threads] = of;
    if (is_for_show(kernel) || 2 * count.usable >= count.rows) {
      continue;
    }
    usable.disturbed.push_back(kernel + " (" + std::to_string(threads) +
                               (threads == 1 ? " thread)" : " threads)"));
    if (kernel == "disk_direct") {
      usable.disk = false;
    } else if (threads == 1) {
      usable.any = false;
    } else {
      usable.two_threads = false;
    }
  }
  for (std::size_t i = 0; i < keys.size(); ++i) {
    // Some rows of two threads would be taken for a machine where they do not differ.
    if (is_usable(i) && (usable.two_threads || keys[i].threads == 1) &&
        (usable.disk || keys[i].kernel != "disk_direct")) {
      usable.rows.push_back(i);
    }
  }
  return usable;
}

}  // namespace moesim
