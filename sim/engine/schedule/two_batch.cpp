// Two halves of the batch take turns: while tokens of one half travel, the other computes
// (DeepSeek, profile-data; SGLang's two-batch overlap). Both halves are cut into the same stages,
// half 1 runs two stages behind half 0, and of stages that fall together half 0's is listed first.
// Kernels keep to one stream, dispatch and combine to another.
//
//   attention_split false:  attention .. router | dispatch, shared | experts | combine
//   attention_split true:   attention | core .. router | dispatch, shared | experts | combine
//
// Two stages behind, of four: a half's dispatch travels beside the other's experts or attention, as
// does its combine. Of five (decode, where attention is the longer part): the combine travels
// beside the other half's attention kernel, the dispatch beside shared experts and the other's
// projections.
#include <algorithm>

#include "sim/engine/schedule/schedule.h"

namespace moesim {
namespace {

constexpr std::int32_t kernels = 0;
constexpr std::int32_t all_to_all = 1;
constexpr std::size_t k_behind = 2;

bool begins_stage(const Work& work, std::int32_t id, const OverlapOptions& options) {
  switch (work.node(id).kind) {
    case WorkKind::attention:
    case WorkKind::dispatch:
    case WorkKind::experts:
    case WorkKind::combine:
      return true;
    case WorkKind::attention_core:
      return options.attention_split;
    default:
      return false;
  }
}

// The nodes of one half in stages. What runs beside the dispatch is listed behind it.
std::vector<std::vector<std::int32_t>> stages_of(const Work& work, std::int32_t half,
                                                 const OverlapOptions& options) {
  std::vector<std::vector<std::int32_t>> stages(1);
  std::vector<std::int32_t> beside;
  for (std::int32_t id = 0; id < static_cast<std::int32_t>(work.nodes().size()); ++id) {
    const WorkNode& node = work.node(id);
    if (node.batch != half) {
      continue;
    }
    if (node.kind == WorkKind::shared) {
      beside.push_back(id);
      continue;
    }
    if (begins_stage(work, id, options) && !stages.back().empty()) {
      stages.emplace_back();
    }
    stages.back().push_back(id);
    if (node.kind == WorkKind::dispatch) {
      stages.back().insert(stages.back().end(), beside.begin(), beside.end());
      beside.clear();
    }
  }
  return stages;
}

Schedule make(const Work& work, const OverlapOptions& options) {
  const auto first = stages_of(work, 0, options);
  const auto second = stages_of(work, 1, options);
  Schedule schedule{.order = {}, .streams = 2};
  const auto place = [&](const std::vector<std::int32_t>& stage) {
    for (const std::int32_t id : stage) {
      const WorkKind kind = work.node(id).kind;
      const bool moves = kind == WorkKind::dispatch || kind == WorkKind::combine;
      schedule.order.push_back({id, moves ? all_to_all : kernels});
    }
  };
  for (std::size_t s = 0; s < std::max(first.size(), second.size() + k_behind); ++s) {
    if (s < first.size()) {
      place(first[s]);
    }
    if (s >= k_behind && s - k_behind < second.size()) {
      place(second[s - k_behind]);
    }
  }
  return schedule;
}

}  // namespace

OverlapEntry two_batch_entry() {
  return {.name = "two_batch",
          .summary = "two halves of the batch: one's all-to-all beside the other's kernels",
          .micro_batches = 2,
          .decode_only = true,
          .make = make};
}

}  // namespace moesim
