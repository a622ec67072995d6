// Work and a schedule become a task graph. This is the only place that knows how streams, data and
// groups of ranks turn into edges; what a node costs is the expansion's to say.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/engine/schedule/schedule.h"
#include "sim/flow/task_graph.h"

namespace moesim {

inline constexpr ProgramId k_no_program = -1;

struct RankRange {
  int first = 0;
  int count = 0;
};

// What nodes are on a machine: the engine's kernels and exchanges, or a test's fixed times. The
// programs it names belong to the graph that is built.
class WorkExpansion {
 public:
  virtual ~WorkExpansion() = default;

  // Ranks of a pipeline stage; every stage has as many.
  [[nodiscard]] virtual RankRange ranks_of(int stage) const = 0;

  // Nodes of one micro-batch, one behind the other, on one rank; k_no_program if that is nothing.
  // Called for every rank of a chain before the next chain.
  virtual ProgramId chain(std::span<const std::int32_t> nodes, int rank) = 0;

  // Resources of the rank's device start here.
  [[nodiscard]] virtual std::int32_t resource_offset(int rank) const = 0;

  // A collective node is one task per group; k_no_program where a group has nothing to exchange.
  [[nodiscard]] virtual int groups(std::int32_t node) const = 0;
  [[nodiscard]] virtual std::span<const int> ranks_of_group(std::int32_t node, int group) const = 0;
  virtual ProgramId collective(std::int32_t node, int group) = 0;
  // A name for the group's collectives in pictures.
  [[nodiscard]] virtual int lane(std::int32_t node, int group) const = 0;

  // The ranks that EdgeScope::group means.
  [[nodiscard]] virtual std::span<const int> peers(int rank) const = 0;

  // A program that takes no time, for tasks that only join others.
  virtual ProgramId nothing() = 0;

  // Of a task of these nodes, for pictures and sums.
  [[nodiscard]] virtual std::int32_t label(std::span<const std::int32_t> nodes) const = 0;
};

// Rules. A rank's stream runs its tasks in the schedule's order. Neighbours of a stream that wait
// for nothing but what the first of them waits for are one task (a chain), as long as they belong
// to one layer and micro-batch and nothing on another stream waits for one of them. Experts, the
// head and what crosses ranks or stages are chains of their own. A node with nothing to do on a
// rank passes on what it waits for. Data from another stage comes from the rank in the same place
// of that stage.
//
// Stream ids: rank r of stage s on stream t is t * ranks + r, with the ranks of all stages; a
// collective's is its lane behind all of these.
void build_graph(const Work& work, const Schedule& schedule, WorkExpansion& expansion,
                 TaskGraph& graph);

}  // namespace moesim
