// The task graph that every backend runs: resources with a rate, programs (what a task does) and
// tasks (who does it, after what).
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
  double rate = 1.0;
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

using ProgramId = std::int32_t;
using TaskId = std::int32_t;
using StreamId = std::int32_t;

struct Task {
  ProgramId program = 0;
  std::int32_t resource_offset = 0;  // added to every Need::resource of the program
  StreamId stream = 0;               // for the timeline; order in a stream is given by dependencies
  std::int32_t label = 0;            // index into TaskGraph::labels
  std::int32_t layer = -1;
  std::uint32_t first_predecessor = 0;
  std::uint32_t predecessor_count = 0;
};

// Append-only. Programs are shared: ranks that run the same kernels on their own devices differ in
// the resource offset alone. A program is a sequence of segments, run one after the other.
class TaskGraph {
 public:
  ProgramId begin_program();  // segments added next belong to it
  // Throws InvariantError for a negative latency, and for needs that are not positive and finite
  // or that name a resource twice.
  void add_segment(double latency_s, std::span<const Need> needs);

  // Predecessors must exist already, so ids are a topological order. Throws InvariantError for ids
  // that do not exist.
  TaskId add_task(Task task, std::span<const TaskId> predecessors);

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
  [[nodiscard]] const std::vector<std::string>& labels() const { return labels_; }
  [[nodiscard]] std::size_t program_count() const { return programs_.size(); }

  // The resources that the program's needs name, each once, relative like the needs.
  [[nodiscard]] std::span<const std::int32_t> touched(ProgramId program) const {
    const Program& p = programs_[static_cast<std::size_t>(program)];
    return {touched_.data() + p.first_touched, p.touched_count};
  }
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

  std::vector<Program> programs_;
  std::vector<Segment> segments_;
  std::vector<Need> needs_;
  std::vector<std::int32_t> touched_;
  std::vector<Task> tasks_;
  std::vector<TaskId> predecessors_;
  std::vector<std::string> labels_;
  std::vector<std::uint32_t> touched_by_;  // relative resource -> last segment that named it, + 1
};

}  // namespace moesim
