#include "sim/engine/results/device_time.h"

#include <algorithm>
#include <cmath>

#include "sim/core/error.h"
#include "sim/engine/results/critical_path.h"

namespace moesim {
namespace {

constexpr double tolerance = 1e-9;  // of the makespan, for a sum over a device's intervals

std::size_t at(std::int32_t index) { return static_cast<std::size_t>(index); }

struct TaskInterval {
  double start_s = 0.0;
  double end_s = 0.0;
  TaskId task = 0;
  bool communication = false;
  Category category = Category::attention;  // of communication
};

// Walks over the moments at which some task of the device starts or ends.
class Sweep {
 public:
  explicit Sweep(TimeUse& use) : use_(use) {}

  // `intervals` in the order of their starts.
  DeviceTime run(const std::vector<TaskInterval>& intervals, double makespan_s) {
    time_ = {};
    now_s_ = 0.0;
    for (const TaskInterval& next : intervals) {
      run_until(next.start_s);
      running_.push_back(next);
    }
    run_until(makespan_s);
    ensure(running_.empty(), "every task ends within the makespan");
    ensure(std::abs(time_.idle_s + time_.busy_s - makespan_s) <= tolerance * makespan_s,
           "a device's idle and busy time add up to the makespan");
    return time_;
  }

 private:
  void run_until(double moment_s) {
    while (!running_.empty()) {
      const double end_s = std::ranges::min_element(running_, {}, &TaskInterval::end_s)->end_s;
      if (end_s > moment_s) {
        break;
      }
      spend(end_s);
      std::erase_if(running_, [end_s](const TaskInterval& i) { return i.end_s <= end_s; });
    }
    spend(moment_s);
  }

  void spend(double until_s) {
    const double seconds = until_s - now_s_;
    now_s_ = until_s;
    if (running_.empty()) {
      time_.idle_s += seconds;
      return;
    }
    const auto kernels = std::ranges::count(running_, false, &TaskInterval::communication);
    const auto all = std::ssize(running_);
    time_.busy_s += seconds;
    time_.kernels_s += kernels > 0 ? seconds : 0.0;
    time_.hidden_s += kernels > 0 && kernels < all ? seconds : 0.0;
    for (const TaskInterval& task : running_) {
      if (kernels == 0 || !task.communication) {
        use_.given_s[at(task.task)] += seconds / static_cast<double>(kernels > 0 ? kernels : all);
      }
    }
    if (kernels > 0 && kernels < all) {
      hide(seconds / static_cast<double>((all - kernels) * kernels));
    }
  }

  // By every kernel of every communication.
  void hide(double seconds) {
    for (const TaskInterval& hidden : running_) {
      if (!hidden.communication) {
        continue;
      }
      auto& by_task = use_.hidden_s[static_cast<std::size_t>(hidden.category)];
      by_task.resize(use_.given_s.size(), 0.0);
      for (const TaskInterval& task : running_) {
        if (!task.communication) {
          by_task[at(task.task)] += seconds;
        }
      }
    }
  }

  TimeUse& use_;
  std::vector<TaskInterval> running_;
  DeviceTime time_;
  double now_s_ = 0.0;
};

std::vector<std::vector<TaskInterval>> intervals_by_device(const LoweredStep& step,
                                                           const RunResult& result) {
  std::vector<std::vector<TaskInterval>> devices(at(step.devices));
  const auto tasks = step.graph.tasks();
  for (std::size_t id = 0; id < tasks.size(); ++id) {
    const Task& task = tasks[id];
    const TaskTimes& times = result.tasks[id];
    const Kernel& first = step.kernels[step.first_kernel[at(task.program)]];
    for (const std::int32_t device : step.stream_devices[at(task.stream)]) {
      devices[at(device)].push_back({times.start_s, times.end_s, static_cast<TaskId>(id),
                                     is_communication(first.category), first.category});
    }
  }
  return devices;
}

}  // namespace

TimeUse time_use(const LoweredStep& step, const RunResult& result) {
  TimeUse use;
  use.given_s.assign(step.graph.tasks().size(), 0.0);
  Sweep sweep(use);
  for (std::vector<TaskInterval>& intervals : intervals_by_device(step, result)) {
    // Nearly always in order: a device's tasks follow each other.
    if (!std::ranges::is_sorted(intervals, {}, &TaskInterval::start_s)) {
      std::ranges::stable_sort(intervals, {}, &TaskInterval::start_s);
    }
    use.devices.push_back(sweep.run(intervals, result.makespan_s));
  }
  return use;
}

MeanDevice mean_device(const LoweredStep& step, const RunResult& result) {
  const TimeUse use = time_use(step, result);
  const double share = 1.0 / step.devices;
  MeanDevice mean;
  for (const DeviceTime& device : use.devices) {
    mean.waiting_s += device.idle_s * share;
    mean.kernels_s += device.kernels_s * share;
    mean.hidden_communication_s += device.hidden_s * share;
  }
  for (std::size_t id = 0; id < use.given_s.size(); ++id) {
    split_over_kernels(step, static_cast<TaskId>(id), use.given_s[id] * share,
                       [&mean](const Kernel& kernel, double seconds) {
                         mean.busy_s[static_cast<std::size_t>(kernel.category)] += seconds;
                       });
  }
  for (std::size_t c = 0; c < k_categories; ++c) {
    for (std::size_t id = 0; id < use.hidden_s[c].size(); ++id) {
      split_over_kernels(step, static_cast<TaskId>(id), use.hidden_s[c][id] * share,
                         [&mean, c](const Kernel& kernel, double seconds) {
                           mean.hidden_s[c][static_cast<std::size_t>(kernel.category)] += seconds;
                         });
    }
  }
  return mean;
}

}  // namespace moesim
