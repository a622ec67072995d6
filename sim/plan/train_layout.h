// One way to lay a training iteration out over the devices: who is with whom, in which pipeline,
// how much at a time, what is kept.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "sim/engine/rank_map.h"
#include "sim/training/train_workload.h"

namespace moesim {

struct TrainLayout {
  Parallelism parallelism;
  std::int64_t micro_batch = 1;  // sequences
  Recompute recompute = Recompute::none;
  int zero = 1;
  std::string pipeline = "1f1b";
};

// "none", "selective", "full".
std::string_view name_of(Recompute recompute);

// "TP2 CP1 DP8 PP8 VPP1 ETP1 EP8 EDP2 mb1 1f1b recompute none zero 1".
std::string describe(const TrainLayout& layout);

// The scenario with this layout instead of its own and without `search`. What belongs to the layout
// is written out; modules of selective recomputation stay the scenario's. A scenario whose
// sections are no objects stays as it is.
nlohmann::json scenario_with(nlohmann::json scenario, const TrainLayout& layout);

// Sequences of an iteration over data-parallel ranks and micro-batches; 0 if that leaves a rest.
std::int64_t micro_batches(const TrainLayout& layout, std::int64_t global_batch);

}  // namespace moesim
