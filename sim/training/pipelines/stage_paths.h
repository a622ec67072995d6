// Micro-batches that go their own ways through the stages (SkipPipe, arXiv:2502.19913): some skip
// stages, and where two would meet, one has to wait. The ways are data; the order in which a stage
// takes what comes to it is found by list scheduling over estimated times: always the pass that can
// start first, of those that can start at the same time a backward before a forward, then who has
// waited longer, then the lower micro-batch.
#pragma once

#include "sim/training/pipeline_times.h"

namespace moesim {

struct PathPlan {
  std::vector<std::vector<std::int32_t>> part;  // as in PipelineSchedule
  std::vector<std::vector<ChunkPlace>> path;
  std::vector<PartTimes> parts;            // estimates, by part; one: all alike
  std::vector<std::vector<Seconds>> send;  // [from][to]; empty: nothing; one entry: everywhere
  Seconds pause;                           // of a stage after each pass that takes time
  // [stage][chunk]: how many micro-batches' activations may be kept; empty: as many as there are
  // places from there to the end of a path, at most (1F1B's where all go straight through).
  std::vector<std::vector<int>> slots;
};

struct PathSchedule {
  PipelineSchedule schedule;
  Seconds makespan;  // by the estimates
};

// Backwards are whole (no weight gradients apart). Throws ConfigError(where, ...) where the slots
// are so few that micro-batches wait for each other for ever, InvariantError for paths whose places
// do not exist.
PathSchedule schedule_paths(const PathPlan& plan, const std::string& where);

}  // namespace moesim
