// Times what is enqueued on a stream, by CUDA events.
#pragma once

#include <functional>
#include <vector>

#include "calibrate/cuda/device/resources.h"

namespace moesim::bench {

struct TimingLimits {
  double budget_ms = 400;  // wanted length of all repeats together
  double batch_ms = 1;     // at least, of one repeat: so long that the events' own cost is lost
  int min_repeats = 11;
  int max_repeats = 101;
};
TimingLimits timing_limits(bool quick);

// graph: a repeat is a replay of one CUDA graph, so that the processor's launches do not count.
// stream: launches one by one, for what cannot be captured.
enum class Replay { graph, stream };

// Enqueues one launch with the operands `set` (0 <= set < sets).
using Launch = std::function<void(int set)>;

// Milliseconds per launch; every sample is the mean of one repeat, which goes through all sets at
// least once.
std::vector<double> time_launches(cudaStream_t stream, const TimingLimits& limits, int sets,
                                  Replay replay, const Launch& launch);

// The same, launched one by one, while `other` is busy on a stream of the same device all the
// time. Throws Unsupported when the other work cannot be launched fast enough to last.
struct Load {
  cudaStream_t stream = nullptr;
  int sets = 1;
  Launch launch;
};
std::vector<double> time_under_load(const Load& timed, const Load& other,
                                    const TimingLimits& limits);

// A graph of `launches` launches that take `sets` in turn.
GraphExec captured(cudaStream_t stream, int launches, int sets, const Launch& launch);

// Launches in a repeat, and repeats, for launches of `launch_ms` each.
struct RepeatPlan {
  int launches = 1;
  int repeats = 1;
};
RepeatPlan plan_repeats(const TimingLimits& limits, int sets, double launch_ms);

double elapsed_ms(const Event& begin, const Event& end);

}  // namespace moesim::bench
