#include "calibrate/cuda/device/timer.h"

#include <algorithm>
#include <cmath>

#include "calibrate/cuda/host/session.h"

namespace moesim::bench {
namespace {

constexpr int warm_up_launches = 3;
constexpr int most_launches = 4096;
constexpr double most_other_launches = 100000;

// Ends a capture that was begun, even when what is captured throws.
class Capture {
 public:
  explicit Capture(cudaStream_t stream) : stream_(stream) {
    MOESIM_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  ~Capture() {
    if (active_) {
      cudaGraph_t graph = nullptr;
      static_cast<void>(cudaStreamEndCapture(stream_, &graph));
      const Graph broken(graph);
    }
  }
  Graph end() {
    active_ = false;
    cudaGraph_t graph = nullptr;
    MOESIM_CHECK(cudaStreamEndCapture(stream_, &graph));
    return Graph(graph);
  }

 private:
  cudaStream_t stream_;
  bool active_ = true;
};

// Milliseconds of one launch, after a warm-up.
double launch_ms(const Load& load, const Event& begin, const Event& end) {
  for (int i = 0; i < warm_up_launches; ++i) {
    load.launch(i % load.sets);
  }
  MOESIM_CHECK(cudaEventRecord(begin.get(), load.stream));
  load.launch(warm_up_launches % load.sets);
  MOESIM_CHECK(cudaEventRecord(end.get(), load.stream));
  MOESIM_CHECK(cudaStreamSynchronize(load.stream));
  return elapsed_ms(begin, end);
}

}  // namespace

GraphExec captured(cudaStream_t stream, int launches, int sets, const Launch& launch) {
  Capture capture(stream);
  for (int i = 0; i < launches; ++i) {
    launch(i % sets);
  }
  const Graph graph = capture.end();
  cudaGraphExec_t exec = nullptr;
  MOESIM_CHECK(cudaGraphInstantiate(&exec, graph.get(), 0));
  GraphExec owned(exec);
  MOESIM_CHECK(cudaGraphUpload(exec, stream));
  return owned;
}

TimingLimits timing_limits(bool quick) {
  return quick ? TimingLimits{50, 0.5, 5, 21} : TimingLimits{};
}

double elapsed_ms(const Event& begin, const Event& end) {
  float ms = 0;
  MOESIM_CHECK(cudaEventElapsedTime(&ms, begin.get(), end.get()));
  return ms;
}

RepeatPlan plan_repeats(const TimingLimits& limits, int sets, double launch_ms) {
  const double safe_ms = std::max(launch_ms, 1e-4);
  const double wanted = std::ceil(limits.batch_ms / safe_ms);
  RepeatPlan plan;
  plan.launches = std::clamp(std::max(sets, static_cast<int>(std::min(wanted, 1e6))), 1,
                             std::max(sets, most_launches));
  plan.repeats = std::clamp(static_cast<int>(limits.budget_ms / (safe_ms * plan.launches)),
                            limits.min_repeats, limits.max_repeats);
  return plan;
}

std::vector<double> time_launches(cudaStream_t stream, const TimingLimits& limits, int sets,
                                  Replay replay, const Launch& launch) {
  const Event begin = make_event();
  const Event end = make_event();
  const RepeatPlan plan = plan_repeats(limits, sets, launch_ms({stream, sets, launch}, begin, end));
  GraphExec graph;
  if (replay == Replay::graph) {
    graph = captured(stream, plan.launches, sets, launch);
  }
  const auto repeat = [&] {
    if (graph.get() != nullptr) {
      MOESIM_CHECK(cudaGraphLaunch(graph.get(), stream));
      return;
    }
    for (int i = 0; i < plan.launches; ++i) {
      launch(i % sets);
    }
  };
  repeat();  // warms up clocks, caches of descriptors and the graph itself
  std::vector<double> samples;
  for (int i = 0; i < plan.repeats; ++i) {
    MOESIM_CHECK(cudaEventRecord(begin.get(), stream));
    repeat();
    MOESIM_CHECK(cudaEventRecord(end.get(), stream));
    MOESIM_CHECK(cudaEventSynchronize(end.get()));
    samples.push_back(elapsed_ms(begin, end) / plan.launches);
  }
  return samples;
}

std::vector<double> time_under_load(const Load& timed, const Load& other,
                                    const TimingLimits& limits) {
  const Event begin = make_event();
  const Event end = make_event();
  const Event other_runs = make_event();
  const Event other_end = make_event();
  const double timed_ms = launch_ms(timed, begin, end);
  const double other_ms = std::max(launch_ms(other, begin, end), 1e-3);
  const RepeatPlan plan = plan_repeats(limits, timed.sets, timed_ms);
  // Each slows the other down, hence more than the quotient; doubled below when it is too few.
  double others = std::ceil(2 * timed_ms * plan.launches / other_ms) + 2;
  std::vector<double> samples;
  while (samples.size() < static_cast<std::size_t>(plan.repeats)) {
    for (int i = 0; i < static_cast<int>(others); ++i) {
      other.launch(i % other.sets);
      if (i == 0) {
        MOESIM_CHECK(cudaEventRecord(other_runs.get(), other.stream));
      }
    }
    MOESIM_CHECK(cudaEventRecord(other_end.get(), other.stream));
    MOESIM_CHECK(cudaStreamWaitEvent(timed.stream, other_runs.get()));
    MOESIM_CHECK(cudaEventRecord(begin.get(), timed.stream));
    for (int i = 0; i < plan.launches; ++i) {
      timed.launch(i % timed.sets);
    }
    MOESIM_CHECK(cudaEventRecord(end.get(), timed.stream));
    MOESIM_CHECK(cudaStreamSynchronize(timed.stream));
    MOESIM_CHECK(cudaStreamSynchronize(other.stream));
    if (elapsed_ms(end, other_end) > 0) {
      samples.push_back(elapsed_ms(begin, end) / plan.launches);
    } else if (others *= 2; others > most_other_launches) {
      throw Unsupported("the other work ends before the timed work does");
    }
  }
  return samples;
}

}  // namespace moesim::bench
