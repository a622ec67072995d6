#include <string>

#include "sim/core/error.h"
#include "sim/core/index.h"
#include "sim/training/pipelines/pipelines.h"

namespace moesim {

PipelineSchedule straight_pipeline(const PipelineShape& shape, std::string_view name,
                                   bool has_pairs, const std::string& where) {
  const std::string schedule_name(name);
  if (shape.chunks != 1) {
    throw ConfigError(where, schedule_name + " has one chunk per stage; vpp > 1 is interleaved");
  }
  if (!shape.paths.empty()) {
    throw ConfigError(where, schedule_name +
                                 " sends micro-batches through all stages; paths of "
                                 "their own belong to the schedule `paths`");
  }
  if (shape.pairs && !has_pairs) {
    throw ConfigError(where, schedule_name +
                                 " has no forwards beside backwards; 1f1b, "
                                 "interleaved and dualpipe have");
  }
  PipelineSchedule schedule;
  schedule.part.resize(at(shape.stages));
  schedule.actions.resize(at(shape.stages));
  std::vector<ChunkPlace> path;
  for (int s = 0; s < shape.stages; ++s) {
    schedule.part[at(s)] = {s};
    path.push_back({.stage = s, .chunk = 0});
  }
  schedule.path.assign(at(shape.micro_batches), path);
  return schedule;
}

}  // namespace moesim
