#include "sim/training/iteration_cells.h"

#include <array>

namespace moesim {
namespace {

constexpr std::array<std::string_view, 12> lane_names{
    "kernels",          "context parallel", "tensor parallel", "expert parallel",
    "expert slices",    "weights",          "expert weights",  "gradients",
    "expert gradients", "send forward",     "send back",       "gradient norm"};

// With a routing source, expert groups have the same expected loads, so that one of them stands for
// all if no other group of ranks reaches across its edge but those of equal weights.
int count_cells(const TrainingSystem& system) {
  const Parallelism& p = system.parallelism();
  const int group = p.expert_ep * p.expert_tp;
  if (system.folds()) {
    return 1;
  }
  const bool apart = group % (p.attention_tp * p.attention_cp) == 0;
  return system.scenario().fold && apart ? group : p.ranks_per_stage();
}

}  // namespace

IterationCells::IterationCells(const TrainingSystem& system, LoweredStep& step)
    : system_(system), step_(step), count_(count_cells(system)) {
  for (int s = 0; s < stages(); ++s) {
    for (int c = 0; c < count_; ++c) {
      stream(s, Lane::kernels, c, std::array{c});
    }
  }
}

const std::vector<IterationCells::Group>& IterationCells::groups(RankGroup over) {
  const auto [known, fresh] = groups_.try_emplace(over);
  std::vector<Group>& groups = known->second;
  if (fresh && folded()) {
    groups.push_back({-1, {0}});
  } else if (fresh) {
    int id = 0;
    std::vector<std::vector<int>> all = groups_of(over, system_.parallelism());
    for (std::vector<int>& ranks : all) {
      std::erase_if(ranks, [this](int rank) { return rank >= count_; });
      if (!ranks.empty()) {
        groups.push_back({id, std::move(ranks)});
      }
      ++id;
    }
  }
  return groups;
}

double IterationCells::ranks_per_cell() const {
  return static_cast<double>(system_.ranks().ranks_per_stage()) / count_;
}

int IterationCells::unit(int cell) const {
  const Parallelism& p = system_.parallelism();
  return cell / p.expert_tp % p.expert_ep;
}

std::int32_t IterationCells::resources(int stage, int cell) const {
  constexpr std::int32_t per_device = 2;  // KernelPrograms
  const RankMap& ranks = system_.ranks();
  return per_device * ranks.device_of(ranks.first_rank(stage) + cell);
}

StreamId IterationCells::stream(int stage, Lane lane, int group, std::span<const int> cells) {
  const auto [known, fresh] =
      streams_.try_emplace({stage, lane, group}, static_cast<StreamId>(names_.size()));
  if (fresh) {
    std::vector<std::int32_t>& devices = step_.stream_devices.emplace_back();
    for (const int cell : cells) {
      devices.push_back(stage * count_ + cell);
    }
    std::string& name = names_.emplace_back("stage ");
    name.append(std::to_string(stage)).append(", ");
    if (!folded()) {
      name.append(lane == Lane::kernels ? "rank " : "group ").append(std::to_string(group));
      name.append(", ");
    }
    name.append(lane_names.at(static_cast<std::size_t>(lane)));
  }
  return known->second;
}

int IterationCells::devices() const { return stages() * count_; }

}  // namespace moesim
