#include "sim/engine/lowering/graph_builder.h"

#include <algorithm>

#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr TaskId k_nothing = -1;

std::size_t at(std::int32_t index) { return static_cast<std::size_t>(index); }

bool stands_alone(WorkKind kind) {
  return kind == WorkKind::experts || kind == WorkKind::head || kind == WorkKind::send ||
         kind == WorkKind::receive || kind == WorkKind::weight_fetch || kind == WorkKind::backward;
}

class GraphBuilder {
 public:
  GraphBuilder(const Work& work, const Schedule& schedule, WorkExpansion& expansion,
               TaskGraph& graph)
      : work_(work), expansion_(expansion), graph_(graph), open_(at(schedule.streams)) {
    check_schedule(work, schedule);
    std::int32_t stages = 1;
    for (const WorkNode& node : work.nodes()) {
      stages = std::max(stages, node.stage + 1);
    }
    stage_ranks_ = expansion.ranks_of(0).count;
    ranks_ = stages * stage_ranks_;
    last_.assign(at(schedule.streams), std::vector<TaskId>(at(ranks_), k_nothing));
    stream_of_.assign(work.nodes().size(), -1);
    done_of_.assign(work.nodes().size(), -1);
  }

  void build(const Schedule& schedule) {
    for (const PlacedNode& place : schedule.order) {
      add(place);
    }
    for (std::size_t stream = 0; stream < open_.size(); ++stream) {
      close(static_cast<std::int32_t>(stream));
    }
  }

 private:
  void add(const PlacedNode& place) {
    const auto [node, stream] = place;
    for (const WorkEdge& edge : work_.after(node)) {
      const std::int32_t other = stream_of_[at(edge.node)];
      if (other != stream || edge.scope == EdgeScope::group) {
        close_if_holds(other, edge.node);
      }
    }
    if (is_collective(work_.node(node).kind)) {
      close(stream);
      stream_of_[at(node)] = stream;
      collective(node, stream);
      return;
    }
    if (!fits(node, stream)) {
      close(stream);
    }
    open_[at(stream)].push_back(node);
    stream_of_[at(node)] = stream;
  }

  [[nodiscard]] bool fits(std::int32_t id, std::int32_t stream) const {
    const auto& chain = open_[at(stream)];
    if (chain.empty()) {
      return true;
    }
    const WorkNode& node = work_.node(id);
    const WorkNode& head = work_.node(chain.front());
    if (node.layer != head.layer || node.batch != head.batch || node.stage != head.stage ||
        stands_alone(node.kind) || stands_alone(head.kind)) {
      return false;
    }
    return std::ranges::all_of(work_.after(id), [&](const WorkEdge& edge) {
      return edge.scope == EdgeScope::rank &&
             ((stream_of_[at(edge.node)] == stream && work_.node(edge.node).stage == node.stage) ||
              chain_waits_for(chain, edge.node));
    });
  }

  [[nodiscard]] bool chain_waits_for(const std::vector<std::int32_t>& chain,
                                     std::int32_t other) const {
    return std::ranges::any_of(chain, [&](std::int32_t id) {
      return std::ranges::any_of(work_.after(id),
                                 [other](const WorkEdge& edge) { return edge.node == other; });
    });
  }

  void close_if_holds(std::int32_t stream, std::int32_t node) {
    if (stream >= 0 && std::ranges::find(open_[at(stream)], node) != open_[at(stream)].end()) {
      close(stream);
    }
  }

  // One task per rank of the nodes that were collected on the stream.
  void close(std::int32_t stream) {
    auto& chain = open_[at(stream)];
    if (chain.empty()) {
      return;
    }
    collect_edges(chain, stream);
    const std::int32_t done = new_done(chain);
    const WorkNode& head = work_.node(chain.front());
    const std::int32_t label = expansion_.label(chain);
    const RankRange ranks = expansion_.ranks_of(head.stage);
    for (int place = 0; place < ranks.count; ++place) {
      const int rank = ranks.first + place;
      const ProgramId program = expansion_.chain(chain, rank);
      if (program == k_no_program) {
        done_[at(done)][at(place)] = pass_on(place, chain, done);
        continue;
      }
      before_.clear();
      wait_for(last_[at(stream)][at(rank)]);
      for (const WorkEdge& edge : edges_) {
        wait_for_edge(edge, rank, place);
      }
      Task task{.program = program,
                .resource_offset = expansion_.resource_offset(rank),
                .stream = stream * ranks_ + rank,
                .label = label,
                .layer = head.layer};
      done_[at(done)][at(place)] = last_[at(stream)][at(rank)] = add_task(task);
    }
    chain.clear();
  }

  void collective(std::int32_t id, std::int32_t stream) {
    const std::vector<std::int32_t> alone{id};
    collect_edges(alone, stream);
    const std::int32_t done = new_done(alone);
    const WorkNode& node = work_.node(id);
    const std::int32_t label = expansion_.label(alone);
    const int first = expansion_.ranks_of(node.stage).first;
    for (int group = 0; group < expansion_.groups(id); ++group) {
      const std::span<const int> ranks = expansion_.ranks_of_group(id, group);
      const ProgramId program = expansion_.collective(id, group);
      if (program == k_no_program) {
        for (const int rank : ranks) {
          done_[at(done)][at(rank - first)] = pass_on(rank - first, alone, done);
        }
        continue;
      }
      before_.clear();
      for (const int rank : ranks) {
        wait_for(last_[at(stream)][at(rank)]);
        for (const WorkEdge& edge : edges_) {
          wait_for_edge(edge, rank, rank - first);
        }
      }
      const Task task{
          .program = program,
          .resource_offset = 0,
          .stream = static_cast<std::int32_t>(last_.size()) * ranks_ + expansion_.lane(id, group),
          .label = label,
          .layer = node.layer};
      const TaskId added = add_task(task);
      for (const int rank : ranks) {
        done_[at(done)][at(rank - first)] = last_[at(stream)][at(rank)] = added;
      }
    }
  }

  // Edges of these nodes that the order of their stream does not imply. It says nothing of what a
  // node without work passes on from elsewhere.
  void collect_edges(std::span<const std::int32_t> nodes, std::int32_t stream) {
    edges_.clear();
    for (const std::int32_t id : nodes) {
      for (const WorkEdge& edge : work_.after(id)) {
        const bool inside = std::ranges::find(nodes, edge.node) != nodes.end();
        const bool implied = !inside && edge.scope == EdgeScope::rank &&
                             stream_of_[at(edge.node)] == stream &&
                             work_.node(edge.node).stage == work_.node(id).stage &&
                             passes_on_[at(done_of_[at(edge.node)])] == 0;
        const bool known = std::ranges::any_of(edges_, [&](const WorkEdge& e) {
          return e.node == edge.node && e.scope == edge.scope;
        });
        if (!inside && !implied && !known) {
          edges_.push_back(edge);
        }
      }
    }
  }

  std::int32_t new_done(std::span<const std::int32_t> nodes) {
    const auto id = static_cast<std::int32_t>(done_.size());
    done_.emplace_back(at(stage_ranks_), k_nothing);
    passes_on_.push_back(0);
    for (const std::int32_t node : nodes) {
      done_of_[at(node)] = id;
    }
    return id;
  }

  void wait_for(TaskId task) {
    if (task != k_nothing) {
      before_.push_back(task);
    }
  }

  void wait_for_edge(const WorkEdge& edge, int rank, int place) {
    const auto& done = done_[at(done_of_[at(edge.node)])];
    if (edge.scope == EdgeScope::rank) {
      wait_for(done[at(place)]);
      return;
    }
    for (const int peer : expansion_.peers(rank)) {
      wait_for(done[at(peer - rank + place)]);
    }
  }

  // What nodes without work on a rank stand for: what they wait for, as one task. The edges of the
  // nodes have been collected.
  TaskId pass_on(int place, std::span<const std::int32_t> nodes, std::int32_t done) {
    before_.clear();
    const WorkNode& head = work_.node(nodes.front());
    const int rank = expansion_.ranks_of(head.stage).first + place;
    if (edges_.empty()) {
      return last_[at(stream_of_[at(nodes.front())])][at(rank)];
    }
    passes_on_[at(done)] = 1;
    for (const std::int32_t id : nodes) {
      for (const WorkEdge& edge : work_.after(id)) {
        if (std::ranges::find(nodes, edge.node) == nodes.end()) {
          wait_for_edge(edge, rank, place);
        }
      }
    }
    sort_unique();
    if (before_.empty()) {
      return k_nothing;
    }
    if (before_.size() == 1) {
      return before_.front();
    }
    if (nothing_ == k_no_program) {
      nothing_ = expansion_.nothing();
    }
    const Task task{.program = nothing_,
                    .resource_offset = 0,
                    .stream = rank,
                    .label = expansion_.label(nodes),
                    .layer = head.layer};
    return add_task(task);
  }

  void sort_unique() {
    if (!std::ranges::is_sorted(before_)) {
      std::ranges::sort(before_);
    }
    before_.erase(std::ranges::unique(before_).begin(), before_.end());
  }

  TaskId add_task(const Task& task) {
    sort_unique();
    return graph_.add_task(task, before_);
  }

  const Work& work_;
  WorkExpansion& expansion_;
  TaskGraph& graph_;
  int ranks_ = 0;
  int stage_ranks_ = 0;
  std::vector<std::vector<std::int32_t>> open_;  // by stream: the chain that is being collected
  std::vector<std::vector<TaskId>> last_;        // by stream, by rank
  std::vector<std::int32_t> stream_of_;          // by node; -1: not placed yet
  std::vector<std::int32_t> done_of_;            // by node: index into done_
  std::vector<std::vector<TaskId>> done_;        // by chain or collective, by place in the stage
  std::vector<char> passes_on_;                  // like done_: some rank waits for other streams
  std::vector<WorkEdge> edges_;                  // scratch
  std::vector<TaskId> before_;                   // scratch
  ProgramId nothing_ = k_no_program;
};

}  // namespace

void build_graph(const Work& work, const Schedule& schedule, WorkExpansion& expansion,
                 TaskGraph& graph) {
  GraphBuilder(work, schedule, expansion, graph).build(schedule);
}

}  // namespace moesim
