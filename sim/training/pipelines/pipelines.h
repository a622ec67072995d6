// The pipeline schedules, one file each, and what they share.
#pragma once

#include "sim/training/pipeline.h"

namespace moesim {

PipelineEntry gpipe_entry();
PipelineEntry one_f_one_b_entry();
PipelineEntry interleaved_entry();
PipelineEntry zb_h1_entry();
PipelineEntry zb_h2_entry();
PipelineEntry dualpipe_entry();
PipelineEntry stage_paths_entry();

// One chunk per stage, every micro-batch through all stages; no actions yet. Throws
// ConfigError(where, ...) for shapes with more chunks, paths of their own, or pairs that the
// schedule `name` does not have.
PipelineSchedule straight_pipeline(const PipelineShape& shape, std::string_view name,
                                   bool has_pairs, const std::string& where);

}  // namespace moesim
