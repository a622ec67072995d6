// Tasks between start and end: who serves them, how fast, and what happens next. Knows nothing of
// what a task waits for before it starts. BACKENDS.md explains the algorithm.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "sim/flow/agenda.h"
#include "sim/flow/backend.h"
#include "sim/flow/fair_bottleneck.h"

namespace moesim::detail {

// Ids are signed, so that "none" and offsets can be said; vectors are indexed unsigned.
constexpr std::size_t at(std::int32_t index) { return static_cast<std::size_t>(index); }

inline constexpr double never_s = std::numeric_limits<double>::infinity();

enum class Mode : std::uint8_t {
  run,      // a run of latencies and services that nobody else has to do with
  serving,  // one segment's service, on resources that others may share
};

// One latency or service of a run; times are from its since_s on.
struct Step {
  std::uint32_t segment = 0;
  bool in_service = false;
  double begin_s = 0.0;
  double end_s = 0.0;
  double service_s = 0.0;  // of the whole service
};

// A task between start and end. A run goes from segment `first` on and ends with the latency of
// segment `limit`, whose service is shared, or with the task. Its times are since_s plus sums of
// latencies and services, added up in order from since_s on, whether or not every one of them is
// an event of its own.
struct Running {
  TaskId task = -1;
  ProgramId program = 0;
  std::int32_t offset = 0;  // of its resources
  Mode mode = Mode::run;
  bool in_service = false;          // run: begins within the service of `first`
  std::uint32_t first_touched = 0;  // what the program touches
  std::uint32_t touched_count = 0;
  std::uint32_t segments = 0;  // of the program
  std::uint32_t first = 0;     // serving: the segment
  std::uint32_t limit = 0;
  std::uint32_t visit = 0;
  double since_s = 0.0;
  double left = 0.0;     // at since_s: fraction of the service, or seconds of a run's first latency
  double pace = 0.0;     // serving: segments per second, 0 until shared out
  bool is_whole = true;  // run: all of the task; `left` and `step` are not set
  Step step{};           // run: an earlier one than now's, without merging: now's
};

// How many running tasks have the resource in their program. The owner is the last that came or
// began a run while nobody else was there.
struct Tenancy {
  std::int32_t count = 0;
  std::int32_t owner_slot = 0;
  TaskId owner_task = -1;
  bool has_unit_rate = true;  // nominal and fraction are 1
};

struct Rate {
  double nominal = 1.0;
  double fraction = 1.0;  // of nominal that there is now
  double set = 1.0;       // fraction of nominal that set_rate() left; tasks may hold some of it
};

// Segments in service on the resource, and its place in the component that is being gathered.
struct Queue {
  std::vector<std::int32_t> slots;
  std::uint32_t visit = 0;
  std::uint32_t local = 0;
};

class EventCore {
 public:
  struct Options {
    bool merge = true;             // false: every latency and service of a run is an event
    bool record_segments = false;  // of the tasks that the graph has now
  };
  // The graph may grow while the core runs; add_resources() follows its resources.
  EventCore(const TaskGraph& graph, Options options);

  // Takes in resources that the graph has got since. Throws InvariantError for rates that are not
  // positive and finite.
  void add_resources();

  [[nodiscard]] double now_s() const { return now_; }
  [[nodiscard]] double next_s() const { return agenda_.empty() ? never_s : agenda_.next().time_s; }
  [[nodiscard]] std::uint64_t events() const { return events_; }

  // These three happen now. share_out() must follow before time goes on.
  std::int32_t start(TaskId id);   // returns its slot, valid until it has ended
  void cancel(std::int32_t slot);  // does not appear in ended()
  void set_rate(std::int32_t resource, double rate);
  void share_out() {
    if (!changed_.empty()) {
      share_changed();
    }
  }

  // To `time_s` <= next_s(), and through everything that happens at that instant.
  void advance_to(double time_s);
  // The tasks that ended in the last advance_to(), in order.
  [[nodiscard]] std::span<const TaskId> ended() const { return ended_; }

  struct Progress {
    std::uint32_t segment = 0;
    double latency_left_s = 0.0;
    double service_left = 1.0;  // fraction
  };
  [[nodiscard]] Progress progress(std::int32_t slot) const;

  // Ends of the segments of all tasks, tasks in order; empty if not recorded. Segments that were
  // not reached end with their task.
  std::vector<double> take_segment_ends() { return std::move(segment_ends_s_); }

 private:
  struct Solitude {
    bool alone = true;       // nobody else has any of its resources in his program
    bool unit_rates = true;  // of all its resources
  };

  // event_core.cpp
  void index_segment_ends();
  void begin(Running& running, TaskId id) const;
  Solitude occupy(std::int32_t slot);
  void hold(ProgramId program, std::int32_t offset);
  void release(ProgramId program, std::int32_t offset);
  void update_fraction(std::int32_t resource);
  [[nodiscard]] bool is_owner_in_run(const Tenancy& tenancy) const {
    const Running& owner = running_[at(tenancy.owner_slot)];
    return owner.task == tenancy.owner_task && owner.mode == Mode::run;
  }
  void leave(std::int32_t slot);
  void finish(std::int32_t slot);
  void handle(std::int32_t slot);

  // event_core_run.cpp
  void begin_run(std::int32_t slot, std::uint32_t segment, bool in_service, double left) {
    begin_run(slot, segment, in_service, left, claim(slot));
  }
  void begin_run(std::int32_t slot, std::uint32_t segment, bool in_service, double left,
                 Solitude solitude);
  Solitude claim(std::int32_t slot);
  [[nodiscard]] bool is_private(const Segment& segment, std::int32_t offset) const;
  [[nodiscard]] Step first_step(const Running& running) const;
  [[nodiscard]] Step known_step(const Running& running) const {
    return running.is_whole ? Step{.end_s = segments_of(running).front().latency_s} : running.step;
  }
  [[nodiscard]] bool next_step(const Running& running, Step& step) const;
  [[nodiscard]] bool locate(const Running& running, Step& step) const;
  [[nodiscard]] double run_length_s(const Running& running) const;
  [[nodiscard]] double left_of(const Running& running, const Step& step) const;
  void follow_steps(std::int32_t slot);
  void handle_run(std::int32_t slot);
  void end_run(std::int32_t slot);
  void interrupt_run(std::int32_t slot);
  void record_step(const Running& running, const Step& step);
  void record_run(const Running& running);

  // event_core_service.cpp
  void begin_service(std::int32_t slot, std::uint32_t segment, double left, double pace);
  void end_service(std::int32_t slot);
  void share_changed();
  void gather(std::int32_t resource);
  std::uint32_t visit_queue(Queue& queue, double fraction);
  void share_component();
  void set_pace(std::int32_t slot, double pace);

  [[nodiscard]] std::span<const std::int32_t> touched_by(const Running& running) const {
    return {graph_.all_touched() + running.first_touched, running.touched_count};
  }
  [[nodiscard]] std::span<const Segment> segments_of(const Running& running) const {
    return graph_.segments(running.program);
  }
  [[nodiscard]] double service_alone_s(const Segment& segment, std::int32_t offset) const;
  void set_event(std::int32_t slot, double time_s);
  void record_end(TaskId task, std::uint32_t segment, double end_s) {
    if (options_.record_segments) {
      segment_ends_s_[first_end_[at(task)] + segment] = end_s;
    }
  }

  const TaskGraph& graph_;
  Options options_;
  double now_ = 0.0;
  std::uint64_t events_ = 0;

  std::vector<Running> running_;  // by slot
  std::vector<std::int32_t> free_slots_;
  std::vector<Tenancy> tenancies_;  // by resource
  std::vector<Rate> rates_;         // by resource
  std::vector<Queue> queues_;       // by resource
  Agenda agenda_;
  std::vector<TaskId> ended_;
  std::vector<std::vector<double>> held_;  // by resource: fractions, while tasks hold them

  std::vector<std::int32_t> changed_;  // resources to share out anew
  std::vector<std::int32_t> component_;
  std::uint32_t visit_ = 0;
  FairBottleneck sharing_;

  std::vector<std::size_t> first_end_;  // into segment_ends_s_, by task
  std::vector<double> segment_ends_s_;
};

}  // namespace moesim::detail
