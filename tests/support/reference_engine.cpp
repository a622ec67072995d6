#include "tests/support/reference_engine.h"

#include <algorithm>
#include <limits>

namespace moesim::test {
namespace {

enum class Phase { blocked, latency, serving, ended };

struct State {
  Phase phase = Phase::blocked;
  std::size_t segment = 0;
  double latency_left_s = 0.0;
  double work_left = 0.0;  // fraction of the segment
  double pace = 0.0;
  double end_in_s = 0.0;  // of this phase, from the beginning of the step
};

class Reference {
 public:
  explicit Reference(const TaskGraph& graph)
      : graph_(graph), states_(graph.tasks().size()), segment_ends_(graph.tasks().size()) {
    run_.result.tasks.resize(states_.size());
    run_.served.assign(graph.resources.size(), 0.0);
  }

  ReferenceRun run() {
    unblock();
    while (std::ranges::any_of(states_, [](const State& s) { return s.phase != Phase::ended; })) {
      share();
      step();
      unblock();
    }
    run_.result.makespan_s = now_;
    for (const auto& ends : segment_ends_) {
      run_.result.segment_ends_s.insert(run_.result.segment_ends_s.end(), ends.begin(), ends.end());
    }
    return run_;
  }

 private:
  const Segment& segment(std::size_t task) const {
    return graph_.segments(graph_.tasks()[task].program)[states_[task].segment];
  }
  std::size_t resource(std::size_t task, const Need& need) const {
    return static_cast<std::size_t>(need.resource + graph_.tasks()[task].resource_offset);
  }
  double weight(std::size_t task, const Need& need) const {
    return need.amount / graph_.resources[resource(task, need)].rate;
  }

  // Goes on until nothing changes any more at this time.
  void unblock() {
    bool changed = true;
    while (changed) {
      changed = false;
      for (std::size_t i = 0; i < states_.size(); ++i) {
        const auto before = graph_.predecessors(graph_.tasks()[i]);
        if (states_[i].phase == Phase::blocked && std::ranges::all_of(before, [&](TaskId id) {
              return states_[static_cast<std::size_t>(id)].phase == Phase::ended;
            })) {
          run_.result.tasks[i].start_s = now_;
          enter_segment(i);
          changed = true;
        }
      }
    }
  }

  void enter_segment(std::size_t task) {
    State& state = states_[task];
    if (state.segment == graph_.segments(graph_.tasks()[task].program).size()) {
      state.phase = Phase::ended;
      run_.result.tasks[task].end_s = now_;
    } else if (segment(task).latency_s > 0) {
      state.phase = Phase::latency;
      state.latency_left_s = segment(task).latency_s;
    } else {
      enter_service(task);
    }
  }

  void enter_service(std::size_t task) {
    if (segment(task).need_count == 0) {
      leave_segment(task);
      return;
    }
    states_[task].phase = Phase::serving;
    states_[task].work_left = 1.0;
  }

  void leave_segment(std::size_t task) {
    segment_ends_[task].push_back(now_);
    ++states_[task].segment;
    enter_segment(task);
  }

  // The law of backend.h, word by word.
  void share() {
    std::vector<std::size_t> all;
    for (std::size_t i = 0; i < states_.size(); ++i) {
      states_[i].pace = 0.0;
      if (states_[i].phase == Phase::serving) {
        all.push_back(i);
      }
    }
    std::vector<double> remaining(graph_.resources.size(), 1.0);
    std::vector<double> increment(states_.size(), 0.0);
    std::vector<std::size_t> live = all;
    int rounds = 0;
    while (!live.empty()) {
      std::vector<int> users(remaining.size(), 0);
      for (const std::size_t i : live) {
        for (const Need& need : graph_.needs(segment(i))) {
          ++users[resource(i, need)];
        }
      }
      if (++rounds == 1 && std::ranges::any_of(users, [](int n) { return n > 1; })) {
        ++run_.contended_steps;
      }
      for (const std::size_t i : live) {
        increment[i] = std::numeric_limits<double>::max();
        for (const Need& need : graph_.needs(segment(i))) {
          const std::size_t r = resource(i, need);
          increment[i] = std::min(increment[i], remaining[r] / users[r] / weight(i, need));
        }
        states_[i].pace += increment[i];
      }
      for (const std::size_t i : all) {
        for (const Need& need : graph_.needs(segment(i))) {
          remaining[resource(i, need)] -= weight(i, need) * increment[i];
        }
      }
      for (double& r : remaining) {
        r = r < sharing_precision ? 0.0 : r;
      }
      std::erase_if(live, [&](std::size_t i) {
        return std::ranges::any_of(graph_.needs(segment(i)), [&](const Need& need) {
          return remaining[resource(i, need)] == 0.0;
        });
      });
    }
    run_.repeated_rounds += rounds > 1 ? 1 : 0;
  }

  void step() {
    double step_s = std::numeric_limits<double>::max();
    for (State& state : states_) {
      if (state.phase == Phase::latency || state.phase == Phase::serving) {
        state.end_in_s =
            state.phase == Phase::latency ? state.latency_left_s : state.work_left / state.pace;
        step_s = std::min(step_s, state.end_in_s);
      }
    }
    now_ += step_s;
    account(step_s);
    int ends = 0;
    for (std::size_t i = 0; i < states_.size(); ++i) {
      State& state = states_[i];
      if (state.phase == Phase::latency) {
        state.latency_left_s -= step_s;
        if (state.end_in_s == step_s) {
          ++ends;
          enter_service(i);
        }
      } else if (state.phase == Phase::serving) {
        state.work_left -= state.pace * step_s;
        if (state.end_in_s == step_s) {
          ++ends;
          leave_segment(i);
        }
      }
    }
    run_.tied_ends += ends > 1 ? 1 : 0;
  }

  void account(double step_s) {
    use_.assign(run_.served.size(), 0.0);
    for (std::size_t i = 0; i < states_.size(); ++i) {
      if (states_[i].phase == Phase::serving) {
        for (const Need& need : graph_.needs(segment(i))) {
          use_[resource(i, need)] += weight(i, need) * states_[i].pace;
        }
      }
    }
    for (std::size_t r = 0; r < use_.size(); ++r) {
      run_.largest_use = std::max(run_.largest_use, use_[r]);
      run_.served[r] += use_[r] * graph_.resources[r].rate * step_s;
    }
  }

  const TaskGraph& graph_;
  std::vector<State> states_;
  std::vector<std::vector<double>> segment_ends_;
  std::vector<double> use_;  // by resource, in this step
  ReferenceRun run_;
  double now_ = 0.0;
};

}  // namespace

ReferenceRun run_reference(const TaskGraph& graph) { return Reference(graph).run(); }

}  // namespace moesim::test
