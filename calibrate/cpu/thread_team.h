// Pinned threads that start a piece of work together, and a stopwatch that knows when it was
// disturbed.
#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <thread>
#include <vector>

#include "calibrate/cpu/lost_time.h"

namespace moesim {

double host_now_s();  // monotonic

// Processors that this process may use.
std::vector<int> usable_processors();

// One timed piece of work. `undisturbed`: no thread of it lost its processor to another process or
// to the hypervisor meanwhile (lost_time.h), so that the time is the work's own.
struct TimedSample {
  double seconds = 0.0;
  bool undisturbed = true;
};

// Member r runs on the r-th usable processor; member 0 is the thread that constructs the team and
// must call run(). Its own affinity comes back with the destructor.
class ThreadTeam {
 public:
  // Throws ConfigError when there are fewer usable processors.
  explicit ThreadTeam(int threads);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  [[nodiscard]] std::span<const int> processors() const { return processors_; }
  [[nodiscard]] int size() const { return static_cast<int>(members_.size()) + 1; }

  // work(r) on members 0..threads-1, started together (spinning); seconds from the first start to
  // the last end. The others sleep on: on a busy machine waking them takes longer than most work.
  // Rethrows the first exception of a member.
  TimedSample run(int threads, const std::function<void(int)>& work);

 private:
  struct alignas(64) Member {
    double start_s = 0.0;
    double end_s = 0.0;
    bool undisturbed = true;
    std::exception_ptr failure;
    alignas(64) std::atomic<unsigned> generation{0};  // of the work that it is asked to do
  };
  void ask(std::size_t rank);
  void meet(int arrivals);  // of all active members together, in this run
  void serve(int rank);
  void work_once(int rank, const ThreadClockReader& clock);

  std::vector<std::jthread> members_;
  std::vector<Member> results_;
  std::vector<int> processors_;
  std::vector<int> own_processors_;
  ThreadClockReader clock_;  // of member 0
  const std::function<void(int)>* work_ = nullptr;
  int active_ = 0;
  alignas(64) std::atomic<int> ready_{0};
  alignas(64) std::atomic<int> left_{0};
  std::atomic<bool> stop_{false};
};

// A pause inside a spin loop.
void spin_pause();

}  // namespace moesim
