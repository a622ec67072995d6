#include "sim/training/pipeline.h"

#include <array>

#include "sim/core/error.h"
#include "sim/training/pipelines/pipelines.h"

namespace moesim {

std::string_view name_of(Pass pass) {
  switch (pass) {
    case Pass::forward:
      return "forward";
    case Pass::backward:
      return "backward";
    case Pass::input_grad:
      return "input_grad";
    case Pass::weight_grad:
      return "weight_grad";
  }
  return "";
}

std::span<const PipelineEntry> pipeline_schedules() {
  static const std::array entries{gpipe_entry(),      one_f_one_b_entry(), interleaved_entry(),
                                  zb_h1_entry(),      zb_h2_entry(),       dualpipe_entry(),
                                  stage_paths_entry()};
  return entries;
}

const PipelineEntry& find_pipeline(std::string_view name, const std::string& where) {
  std::string names;
  for (const PipelineEntry& entry : pipeline_schedules()) {
    if (entry.name == name) {
      return entry;
    }
    names.append(names.empty() ? "" : ", ").append(entry.name);
  }
  throw ConfigError(where, "unknown pipeline schedule; there are: " + names);
}

}  // namespace moesim
