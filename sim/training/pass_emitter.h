// Steps of passes as tasks: kernels on every cell, exchanges of every group.
#pragma once

#include <vector>

#include "sim/training/iteration_cells.h"
#include "sim/training/iteration_expansion.h"
#include "sim/training/pass_steps.h"

namespace moesim {

using Tasks = std::vector<TaskId>;
using TasksByCell = std::vector<Tasks>;

// Adds those that are not there yet.
void join(Tasks& tasks, const Tasks& more);
void join(TasksByCell& tasks, const TasksByCell& more);

// A pass on its way: what its next step waits for, by cell.
struct PassCursor {
  TasksByCell last;
  TasksByCell beside;  // exchanges that run beside the next kernels
  TasksByCell needed;  // weights that the next kernels need
  // Weights are fetched from where the layer before began; not paced: from the start on.
  TasksByCell gate;
  bool paced = false;
  Tasks first;  // the pass's first kernels, of cell 0
};

class PassEmitter {
 public:
  // All must outlive this.
  PassEmitter(IterationCells& cells, IterationExpansion& expansion,
              const ParameterShares& parameters, TaskGraph& graph)
      : cells_(cells), expansion_(expansion), parameters_(parameters), graph_(graph) {}

  void step(const PassStep& step, int stage, PassCursor& cursor);
  // Alone, one after the other.
  [[nodiscard]] double seconds(const PassStep& step, int stage);

  // Gathers weights or reduces gradients of so many parameters behind `after`; what is behind it
  // waits for what is returned.
  TasksByCell parameters(ExchangeKind kind, const RankParameters& count, int stage,
                         std::int32_t layer, const TasksByCell& after);
  // From every rank of a stage to the one in its place in another.
  TasksByCell send(int from, int to, bool back, const TasksByCell& after);
  // A kernel program on every cell.
  TasksByCell everywhere(const Exchange& program, int stage, Category category,
                         const TasksByCell& after);
  // A task that takes no time.
  TaskId wait_for(const Tasks& tasks);

 private:
  void kernels(const PassStep& step, int stage, PassCursor& cursor);
  void exchange(const PassStep& step, int stage, PassCursor& cursor);
  void exchange_all(const PassStep& step, int stage, TasksByCell& tasks);
  TaskId add(ProgramId program, std::int32_t resources, StreamId stream, Category category,
             std::int32_t layer, const Tasks& after);

  IterationCells& cells_;
  IterationExpansion& expansion_;
  const ParameterShares& parameters_;
  TaskGraph& graph_;
};

}  // namespace moesim
