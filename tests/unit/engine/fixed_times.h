// An expansion in which every node takes a stated time: schedules against closed forms.
#pragma once

#include <functional>
#include <numeric>

#include "sim/engine/lowering/graph_builder.h"
#include "sim/flow/backend.h"

namespace moesim::testing {

class FixedTimes final : public WorkExpansion {
 public:
  // Seconds of a node on a rank; < 0: nothing to do there.
  using Seconds = std::function<double(const WorkNode&, int rank)>;

  // One group of ranks per stage. Rank r's kernels hold resource r, exchanges their own time only.
  FixedTimes(const Work& work, int stages, int ranks_per_stage, Seconds seconds, TaskGraph& graph)
      : work_(work), seconds_(std::move(seconds)), graph_(graph), count_(ranks_per_stage) {
    for (int r = 0; r < stages * ranks_per_stage; ++r) {
      graph.resources.push_back({"rank" + std::to_string(r), ResourceKind::compute, 1.0});
    }
    for (int stage = 0; stage < stages; ++stage) {
      groups_.emplace_back(static_cast<std::size_t>(ranks_per_stage));
      std::iota(groups_.back().begin(), groups_.back().end(), stage * ranks_per_stage);
    }
  }

  [[nodiscard]] RankRange ranks_of(int stage) const override { return {stage * count_, count_}; }
  ProgramId chain(std::span<const std::int32_t> nodes, int rank) override {
    ProgramId program = k_no_program;
    for (const std::int32_t id : nodes) {
      const double took = seconds_(work_.node(id), rank);
      if (took >= 0) {
        program = program == k_no_program ? graph_.begin_program() : program;
        const Need need{0, took};
        const bool kernel =
            work_.node(id).kind != WorkKind::weight_fetch && work_.node(id).kind != WorkKind::send;
        kernel ? graph_.add_segment(0.0, {&need, 1}) : graph_.add_segment(took, {});
      }
    }
    return program;
  }
  [[nodiscard]] std::int32_t resource_offset(int rank) const override { return rank; }
  [[nodiscard]] int groups(std::int32_t) const override { return 1; }
  [[nodiscard]] std::span<const int> ranks_of_group(std::int32_t node, int) const override {
    return groups_[static_cast<std::size_t>(work_.node(node).stage)];
  }
  ProgramId collective(std::int32_t node, int) override {
    const double took = seconds_(work_.node(node), 0);
    if (took < 0) {
      return k_no_program;
    }
    const ProgramId program = graph_.begin_program();
    graph_.add_segment(took, {});
    return program;
  }
  [[nodiscard]] int lane(std::int32_t, int) const override { return 0; }
  [[nodiscard]] std::span<const int> peers(int rank) const override {
    return groups_[static_cast<std::size_t>(rank / count_)];
  }
  ProgramId nothing() override { return graph_.begin_program(); }
  [[nodiscard]] std::int32_t label(std::span<const std::int32_t>) const override { return 0; }

 private:
  const Work& work_;
  Seconds seconds_;
  TaskGraph& graph_;
  int count_;
  std::vector<std::vector<int>> groups_;
};

// How long the schedule takes.
inline double makespan(const Work& work, const Schedule& schedule, int stages, int ranks_per_stage,
                       const FixedTimes::Seconds& seconds) {
  TaskGraph graph;
  FixedTimes times(work, stages, ranks_per_stage, seconds, graph);
  build_graph(work, schedule, times, graph);
  return make_fast_backend()->run(graph, false).makespan_s;
}

}  // namespace moesim::testing
