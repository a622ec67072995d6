#include "calibrate/cpu/thread_team.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <string>

#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr int k_spins_before_sleep = 20000;

// Failure is no error: an unpinned thread only measures worse.
void run_on(const std::vector<int>& processors) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int processor : processors) {
    CPU_SET(static_cast<std::size_t>(processor), &set);
  }
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

}  // namespace

double host_now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void spin_pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
}

std::vector<int> usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> found;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int processor = 0; processor < CPU_SETSIZE; ++processor) {
      if (CPU_ISSET(static_cast<std::size_t>(processor), &set)) {
        found.push_back(processor);
      }
    }
  }
  return found;
}

ThreadTeam::ThreadTeam(int threads)
    : results_(static_cast<std::size_t>(threads)), own_processors_(usable_processors()) {
  if (threads < 1 || static_cast<std::size_t>(threads) > own_processors_.size()) {
    throw ConfigError("threads", std::to_string(threads) + " wanted, but this process may use " +
                                     std::to_string(own_processors_.size()) + " processors");
  }
  processors_.assign(own_processors_.begin(), own_processors_.begin() + threads);
  run_on({processors_[0]});
  for (int rank = 1; rank < threads; ++rank) {
    members_.emplace_back([this, rank] { serve(rank); });
  }
}

ThreadTeam::~ThreadTeam() {
  stop_ = true;
  for (std::size_t rank = 1; rank < results_.size(); ++rank) {
    ask(rank);
  }
  members_.clear();
  run_on(own_processors_);
}

void ThreadTeam::ask(std::size_t rank) {
  results_[rank].generation.fetch_add(1);
  results_[rank].generation.notify_one();
}

void ThreadTeam::serve(int rank) {
  const std::atomic<unsigned>& generation = results_[static_cast<std::size_t>(rank)].generation;
  run_on({processors_[static_cast<std::size_t>(rank)]});
  const ThreadClockReader clock;
  unsigned seen = 0;
  for (;;) {
    for (int spin = 0; generation.load() == seen && spin < k_spins_before_sleep; ++spin) {
      spin_pause();
    }
    generation.wait(seen);
    seen = generation.load();
    if (stop_) {
      return;
    }
    work_once(rank, clock);
    left_.fetch_add(1);
  }
}

void ThreadTeam::meet(int arrivals) {
  ready_.fetch_add(1);
  while (ready_.load() < arrivals) {
    spin_pause();
  }
}

void ThreadTeam::work_once(int rank, const ThreadClockReader& clock) {
  Member& member = results_[static_cast<std::size_t>(rank)];
  member.failure = nullptr;
  // All are awake behind the first meeting. A thread that loses its processor before the second one
  // is seen to: without it, it would only start late.
  meet(active_);
  const ThreadClock before = clock.read();
  meet(2 * active_);
  member.start_s = host_now_s();
  try {
    (*work_)(rank);
  } catch (...) {
    member.failure = std::current_exception();
  }
  member.end_s = host_now_s();
  const double seconds = member.end_s - member.start_s;
  member.undisturbed = is_undisturbed(lost_between(before, clock.read(), seconds), seconds);
}

TimedSample ThreadTeam::run(int threads, const std::function<void(int)>& work) {
  ensure(threads >= 1 && threads <= size(), "a team runs on its own members");
  work_ = &work;
  active_ = threads;
  ready_ = 0;
  left_ = 0;
  for (std::size_t rank = 1; rank < static_cast<std::size_t>(threads); ++rank) {
    ask(rank);
  }
  work_once(0, clock_);
  while (left_.load() < threads - 1) {
    spin_pause();
  }
  double start = results_[0].start_s;
  double end = results_[0].end_s;
  TimedSample sample;
  for (std::size_t r = 0; r < static_cast<std::size_t>(threads); ++r) {
    if (results_[r].failure) {
      std::rethrow_exception(results_[r].failure);
    }
    start = std::min(start, results_[r].start_s);
    end = std::max(end, results_[r].end_s);
    sample.undisturbed = sample.undisturbed && results_[r].undisturbed;
  }
  sample.seconds = end - start;
  return sample;
}

}  // namespace moesim
