// What other processes and the hypervisor took from a timed window.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace moesim {

// Of the calling thread, since it began.
struct ThreadClock {
  std::int64_t preempted = 0;  // involuntary context switches
  std::int64_t waits = 0;      // voluntary ones: it slept or read from a device
  double delayed_s = 0.0;      // ready to run while another had its processor (run delay)
  double processor_s = 0.0;    // that it really ran; time stolen by the hypervisor is not in it
};

// Reads its clocks through the kernel; one per thread, on which read() must be called.
class ThreadClockReader {
 public:
  ThreadClockReader();
  ~ThreadClockReader();
  ThreadClockReader(const ThreadClockReader&) = delete;
  ThreadClockReader& operator=(const ThreadClockReader&) = delete;
  [[nodiscard]] ThreadClock read() const;

 private:
  int schedstat_ = -1;  // none: the kernel keeps no such statistics
};

// Of a window of `seconds` between two readings.
struct LostTime {
  std::int64_t preempted = 0;
  double delayed_s = 0.0;
  double stolen_s = 0.0;  // neither run nor delayed; 0 where the thread waited of its own accord
};
LostTime lost_between(const ThreadClock& before, const ThreadClock& after, double seconds);

// Nobody preempted the thread, and what it lost is below what a clock can tell.
bool is_undisturbed(const LostTime& lost, double seconds);

// Run delay in seconds, of a text such as /proc/thread-self/schedstat; 0 of any other text.
double parse_run_delay_s(std::string_view schedstat);
// Clock ticks that the hypervisor took from the given processors, of a text such as /proc/stat.
std::int64_t parse_stolen_ticks(std::string_view stat, std::span<const int> processors);
std::int64_t stolen_ticks(std::span<const int> processors);

}  // namespace moesim
