// Which ranks an iteration simulates, and the streams of their tasks.
#pragma once

#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "sim/engine/lowered_step.h"
#include "sim/training/stage_groups.h"
#include "sim/training/training_system.h"

namespace moesim {

enum class Lane : std::uint8_t {
  kernels,
  context,
  tensor,
  experts,
  slices,
  weights,
  expert_weights,
  gradients,
  expert_gradients,
  send_forward,
  send_back,
  norm,
};

// A cell is a simulated rank of a stage: all of them; one if all ranks are alike; those of one
// expert group if only groups are.
class IterationCells {
 public:
  // Both must outlive this. Streams are added to the step as they are asked for.
  IterationCells(const TrainingSystem& system, LoweredStep& step);

  [[nodiscard]] bool folded() const { return system_.folds(); }
  [[nodiscard]] int count() const { return count_; }  // of a stage
  [[nodiscard]] int stages() const { return system_.schedule().stages(); }
  // Cells that exchange with each other. `id`: what costs are asked for, a group's number, or -1
  // for all groups at once.
  struct Group {
    int id = -1;
    std::vector<int> cells;
  };
  [[nodiscard]] const std::vector<Group>& groups(RankGroup over);
  // How many ranks a cell stands for.
  [[nodiscard]] double ranks_per_cell() const;
  // Of a cell: which experts it has, and where its device's resources begin.
  [[nodiscard]] int unit(int cell) const;
  [[nodiscard]] std::int32_t resources(int stage, int cell) const;

  // Of the cells that take part.
  StreamId stream(int stage, Lane lane, int group, std::span<const int> cells);
  [[nodiscard]] const std::vector<std::string>& stream_names() const { return names_; }
  // Devices of the step: simulated ones, numbered as they are, or by stage.
  [[nodiscard]] int devices() const;

 private:
  const TrainingSystem& system_;
  LoweredStep& step_;
  int count_;
  std::map<RankGroup, std::vector<Group>> groups_;
  std::map<std::tuple<int, Lane, int>, StreamId> streams_;
  std::vector<std::string> names_;
};

}  // namespace moesim
