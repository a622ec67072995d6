#include "tests/support/random_decisions.h"

#include <algorithm>
#include <vector>

#include "sim/core/rng.h"
#include "tests/support/random_graph.h"

namespace moesim::test {
namespace {

constexpr std::int32_t per_device = 4;

class Dice {
 public:
  Dice(std::uint64_t seed, std::string_view name) : rng_(RngStreams(seed).stream(name)) {
    coarse_ = chance(0.5);
  }
  std::int32_t below(std::size_t n) { return static_cast<std::int32_t>(rng_.below(n)); }
  bool chance(double p) { return rng_.uniform() < p; }
  // Coarse: on a grid, so that much happens at once.
  double seconds(double most_s) {
    return coarse_ ? most_s / 8 * (1 + below(8)) : most_s * (0.001 + rng_.uniform());
  }
  double factor() { return coarse_ ? 0.25 * (1 + below(6)) : 0.1 + 1.5 * rng_.uniform(); }

 private:
  Rng rng_;
  bool coarse_ = false;
};

class Decorator {
 public:
  explicit Decorator(std::uint64_t seed) : plain_(random_graph(seed)), dice_(seed, "decisions") {}

  TaskGraph decorate() {
    made_.resources = plain_.resources;
    const std::int32_t devices = static_cast<std::int32_t>(made_.resources.size()) / per_device;
    for (std::int32_t d = 0; d < devices; ++d) {
      made_.add_executor();
    }
    date_ = made_.begin_program();
    for (const Task& task : plain_.tasks()) {
      add_task(task, devices);
    }
    add_actions();
    return std::move(made_);
  }

 private:
  void add_task(Task task, std::int32_t devices) {
    const bool holds = dice_.chance(0.15);
    const ProgramId program = made_.begin_program();
    for (const Segment& segment : plain_.segments(task.program)) {
      made_.add_segment(segment.latency_s, plain_.needs(segment));
    }
    if (holds) {
      made_.add_hold(
          {per_device * dice_.below(at_least_one(devices)), 0.02 * (1 + dice_.below(4))});
    }
    std::vector<TaskId> before;
    for (const TaskId id : plain_.predecessors(task)) {
      before.push_back(new_ids_[static_cast<std::size_t>(id)]);
    }
    task.program = program;
    Rules rules;
    // A hold is relative to the offset, too.
    if (dice_.chance(0.4) && task.resource_offset / per_device < devices) {
      rules.executor = task.resource_offset / per_device;
      rules.priority = dice_.below(3);
    }
    if (holds) {
      task.resource_offset = 0;
    }
    if (dice_.chance(0.15)) {
      rules.not_before_s = dice_.seconds(200e-6);
    }
    new_ids_.push_back(made_.add_task(task, before, rules));
  }

  static std::size_t at_least_one(std::int32_t n) {
    return static_cast<std::size_t>(std::max(1, n));
  }

  TaskId any_task() { return new_ids_[static_cast<std::size_t>(dice_.below(new_ids_.size()))]; }
  TaskId cause() { return dice_.chance(0.5) ? any_task() : date(dice_.seconds(200e-6)); }
  TaskId date(double time_s) {
    return made_.add_task({.program = date_}, {}, {.not_before_s = time_s});
  }

  void add_actions() {
    const std::size_t tasks = new_ids_.size();
    for (std::size_t i = 0; i < 1 + tasks / 8; ++i) {
      made_.cancel_after(cause(), any_task());
    }
    for (std::size_t i = 0; i < 2 + tasks / 6; ++i) {
      const std::int32_t resource = dice_.below(made_.resources.size());
      const double rate = made_.resources[static_cast<std::size_t>(resource)].rate;
      if (dice_.chance(0.3)) {  // fails and recovers
        const double from_s = dice_.seconds(200e-6);
        made_.set_rate_after(date(from_s), resource, 0.0);
        made_.set_rate_after(date(from_s + dice_.seconds(100e-6)), resource, rate);
      } else {
        made_.set_rate_after(cause(), resource, dice_.factor() * rate);
      }
    }
    // Whatever came last, nothing stands still for ever.
    const TaskId last = date(1e-3);
    for (std::size_t r = 0; r < made_.resources.size(); ++r) {
      made_.set_rate_after(last, static_cast<std::int32_t>(r), made_.resources[r].rate);
    }
  }

  TaskGraph plain_;
  Dice dice_;
  TaskGraph made_;
  ProgramId date_ = 0;
  std::vector<TaskId> new_ids_;
};

class Policy {
 public:
  Policy(LiveRun& run, std::uint64_t seed) : run_(run), dice_(seed, "policy") {
    devices_ = 1 + dice_.below(4);
    for (std::int32_t i = 0; i < devices_ * per_device; ++i) {
      rates_.push_back(i % per_device < 2 ? 1.0 : 50e9);
      run_.add_resource({.name = "resource", .rate = rates_.back()});
    }
    for (std::int32_t d = 0; d < devices_; ++d) {
      run_.add_executor();
    }
    double date_s = 0.0;
    for (int i = 0; i < 12; ++i) {
      dates_s_.push_back(date_s += dice_.seconds(40e-6));
    }
  }

  void run() {
    std::size_t next_date = 0;
    decide();
    while (next_date < dates_s_.size()) {
      if (run_.advance(dates_s_[next_date]).empty()) {
        ++next_date;
      }
      if (dice_.chance(0.5)) {
        decide();
      }
    }
    for (std::size_t r = 0; r < rates_.size(); ++r) {
      run_.set_rate(static_cast<std::int32_t>(r), rates_[r]);
    }
    while (!run_.advance().empty()) {
    }
  }

 private:
  void decide() {
    for (int n = 1 + dice_.below(4); n > 0; --n) {
      submit();
    }
    if (dice_.chance(0.3)) {
      run_.cancel(dice_.below(run_.graph().tasks().size()));
    }
    if (dice_.chance(0.4)) {
      const std::int32_t resource = dice_.below(rates_.size());
      const double factor = dice_.chance(0.2) ? 0.0 : dice_.factor();
      run_.set_rate(resource, factor * rates_[static_cast<std::size_t>(resource)]);
    }
  }

  void submit() {
    const std::int32_t device = dice_.below(static_cast<std::size_t>(devices_));
    Task task{.program = run_.begin_program(), .resource_offset = 0, .stream = device};
    for (int segments = dice_.below(5); segments > 0; --segments) {
      std::vector<Need> needs;
      for (std::int32_t i = 0; i < per_device; ++i) {
        if (dice_.chance(0.4)) {
          const std::int32_t resource = device * per_device + i;
          needs.push_back(
              {resource, dice_.seconds(20e-6) * rates_[static_cast<std::size_t>(resource)]});
        }
      }
      run_.add_segment(dice_.chance(0.5) ? 0.0 : dice_.seconds(5e-6), needs);
    }
    if (dice_.chance(0.1)) {
      run_.add_hold({dice_.below(rates_.size()), 0.0625});
    }
    Rules rules;
    if (dice_.chance(0.5)) {
      rules.executor = device;
      rules.priority = dice_.below(3);
    }
    if (dice_.chance(0.2)) {
      rules.not_before_s = dice_.seconds(300e-6);
    }
    std::vector<TaskId> before;
    const std::size_t tasks = run_.graph().tasks().size();
    for (int n = tasks == 0 ? 0 : dice_.below(3); n > 0; --n) {
      const TaskId id =
          static_cast<TaskId>(tasks - 1) - dice_.below(std::min<std::size_t>(tasks, 6));
      if (std::ranges::find(before, id) == before.end()) {
        before.push_back(id);
      }
    }
    if (dice_.chance(0.2)) {
      run_.submit_in_order(task, before, rules);
    } else {
      run_.submit(task, before, rules);
    }
  }

  LiveRun& run_;
  Dice dice_;
  std::int32_t devices_ = 1;
  std::vector<double> rates_;
  std::vector<double> dates_s_;
};

}  // namespace

TaskGraph random_decisions(std::uint64_t seed) { return Decorator(seed).decorate(); }

void run_random_policy(LiveRun& run, std::uint64_t seed) { Policy(run, seed).run(); }

}  // namespace moesim::test
