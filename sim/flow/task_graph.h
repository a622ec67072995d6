// The task graph that every backend runs: resources with a rate, programs (what a task does),
// tasks (who does it, after what) and what happens when a task has ended.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sim/core/units.h"

namespace moesim {

enum class ResourceKind : std::uint8_t { compute, memory, link };

// Compute and memory resources of devices are rated in seconds per second (1.0: the whole
// device); links in bytes per second.
struct Resource {
  std::string name;
  ResourceKind kind = ResourceKind::link;
  double rate = 1.0;  // nominal; an Action may change it while time goes on
};

struct Need {
  std::int32_t resource = 0;  // >= 0, relative to the task's resource offset
  double amount = 0.0;        // in units of the resource; > 0
};

// One kernel or one transfer: first its latency, during which it holds nothing, then its needs,
// all served at one common pace; it ends when they are met.
struct Segment {
  double latency_s = 0.0;
  std::uint32_t first_need = 0;
  std::uint32_t need_count = 0;
};

// Takes this fraction of a resource's rate away from everybody while a task runs: a communication
// kernel that occupies some of the multiprocessors. Fractions of tasks that run at once add up.
struct Hold {
  std::int32_t resource = 0;  // relative to the task's resource offset
  double fraction = 0.0;      // > 0, <= 1
};

using ProgramId = std::int32_t;
using TaskId = std::int32_t;
using StreamId = std::int32_t;
using ExecutorId = std::int32_t;

// When a task may start, besides its predecessors.
struct Rules {
  ExecutorId executor = -1;   // who runs it, one task at a time; -1: nobody has to be free
  std::int32_t priority = 0;  // an executor takes the highest first, then the lowest id
  double not_before_s = 0.0;  // a date, in seconds from the start of the run
};

struct Task {
  ProgramId program = 0;
  std::int32_t resource_offset = 0;  // added to every Need::resource of the program
  StreamId stream = 0;               // for the timeline, and for add_task_in_order()
  std::int32_t label = 0;            // index into TaskGraph::labels
  std::int32_t layer = -1;
  std::int32_t rules = -1;  // set by the graph, which see
  std::uint32_t first_predecessor = 0;
  std::uint32_t predecessor_count = 0;
};

enum class ActionKind : std::uint8_t { set_rate, cancel };

// Happens when its cause has ended. A cause without segments and with Rules::not_before_s is a
// date.
struct Action {
  TaskId cause = 0;
  ActionKind kind = ActionKind::set_rate;
  std::int32_t target = 0;  // a resource; a task
  double rate = 0.0;        // of the resource from then on, >= 0; 0: what needs it stands still
};

struct GraphSize {
  std::size_t programs = 0;
  std::size_t segments = 0;
  std::size_t needs = 0;
  std::size_t touched = 0;
  std::size_t tasks = 0;
  std::size_t edges = 0;
};

// Append-only. Programs are shared: ranks that run the same kernels on their own devices differ in
// the resource offset alone. A program is a sequence of segments, run one after the other.
class TaskGraph {
 public:
  // Memory for a graph of this size: of one like it that was built before.
  void reserve(const GraphSize& size);
  [[nodiscard]] GraphSize size() const;

  ProgramId begin_program();  // segments added next belong to it
  // Throws InvariantError for a negative latency, and for needs that are not positive and finite
  // or that name a resource twice.
  void add_segment(double latency_s, std::span<const Need> needs);

  // Predecessors must exist already, so ids are a topological order. Throws InvariantError for ids
  // that do not exist.
  TaskId add_task(Task task, std::span<const TaskId> predecessors, const Rules& rules = {});
  // The same, also after the task that was last added to its stream in this way.
  TaskId add_task_in_order(Task task, std::span<const TaskId> predecessors,
                           const Rules& rules = {});

  // Belongs to the program that was begun last. Throws InvariantError for fractions outside (0, 1].
  void add_hold(Hold hold);

  // An executor runs one task at a time. When it is free, it takes the waiting task (predecessors
  // ended, date reached) of the highest priority, then of the lowest id; a task that runs is not
  // interrupted, so a long transfer that should give way is added as several tasks.
  ExecutorId add_executor() { return executor_count_++; }

  // Throw InvariantError for ids that do not exist, and rates that are negative or not finite.
  void set_rate_after(TaskId cause, std::int32_t resource, double rate);
  // A task that runs ends now. One that waits does no work: it ends, without waiting for its date
  // or executor, when its predecessors have ended. Who waits for it goes on then. One that has
  // ended stays as it is.
  void cancel_after(TaskId cause, TaskId victim);

  std::int32_t label(const std::string& text);  // id of an existing or new label

  [[nodiscard]] std::span<const Segment> segments(ProgramId program) const {
    const Program& p = programs_[static_cast<std::size_t>(program)];
    return {segments_.data() + p.first_segment, p.segment_count};
  }
  [[nodiscard]] std::span<const Need> needs(const Segment& segment) const {
    return {needs_.data() + segment.first_need, segment.need_count};
  }
  [[nodiscard]] std::span<const TaskId> predecessors(const Task& task) const {
    return {predecessors_.data() + task.first_predecessor, task.predecessor_count};
  }
  [[nodiscard]] std::span<const Task> tasks() const { return tasks_; }
  [[nodiscard]] std::size_t edge_count() const { return predecessors_.size(); }
  [[nodiscard]] Rules rules(const Task& task) const {
    return task.rules < 0 ? Rules{} : rules_[static_cast<std::size_t>(task.rules)];
  }
  [[nodiscard]] const std::vector<std::string>& labels() const { return labels_; }
  [[nodiscard]] std::size_t program_count() const { return programs_.size(); }
  [[nodiscard]] std::span<const Action> actions() const { return actions_; }  // as they were added
  [[nodiscard]] std::int32_t executor_count() const { return executor_count_; }
  [[nodiscard]] bool has_holds() const { return !holds_.empty(); }
  [[nodiscard]] bool has_rules() const { return !rules_.empty(); }
  [[nodiscard]] std::span<const Hold> holds(ProgramId program) const;

  // The resources that the program's needs name, each once, relative like the needs.
  [[nodiscard]] std::span<const std::int32_t> touched(ProgramId program) const {
    const Program& p = programs_[static_cast<std::size_t>(program)];
    return {touched_.data() + p.first_touched, p.touched_count};
  }
  // The same as a place in all_touched(), which stays when the graph grows.
  [[nodiscard]] std::uint32_t first_touched(ProgramId program) const {
    return programs_[static_cast<std::size_t>(program)].first_touched;
  }
  [[nodiscard]] const std::int32_t* all_touched() const { return touched_.data(); }
  // How long the program takes on resources of rate 1 that nobody else uses: the sum, segment by
  // segment, of latency and largest amount.
  [[nodiscard]] double unit_rate_duration_s(ProgramId program) const {
    return programs_[static_cast<std::size_t>(program)].unit_rate_duration_s;
  }

  std::vector<Resource> resources;

 private:
  struct Program {
    double unit_rate_duration_s = 0.0;
    std::uint32_t first_segment = 0;
    std::uint32_t segment_count = 0;
    std::uint32_t first_touched = 0;
    std::uint32_t touched_count = 0;
  };
  void note_touch(std::int32_t resource, std::uint32_t segment);
  void touch_all(std::span<const Need> needs);
  void note_first_segment();

  std::vector<Program> programs_;
  std::vector<Segment> segments_;
  std::vector<Need> needs_;
  std::vector<std::int32_t> touched_;
  std::vector<Task> tasks_;
  std::vector<TaskId> predecessors_;
  std::vector<std::string> labels_;
  std::vector<Rules> rules_;
  std::vector<Hold> holds_;              // by program
  std::vector<ProgramId> hold_program_;  // ascending, by hold
  std::vector<Action> actions_;
  std::vector<TaskId> last_in_stream_;  // by stream; -1: none
  std::vector<TaskId> in_order_;        // scratch
  std::int32_t executor_count_ = 0;
  std::vector<std::uint32_t> touched_by_;  // relative resource -> last segment that named it, + 1
};

}  // namespace moesim
