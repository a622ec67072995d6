// Two halves of the batch take turns: while tokens of one half travel, the other computes
// (github.com/deepseek-ai/profile-data, 2025-02-27: prefill of 16,384 tokens per GPU on EP32,
// decode on EP128; SGLang's two-batch overlap). Both halves are cut into the same stages, half 1
// runs two stages behind half 0, and of stages that fall together half 0's is listed first. Kernels
// keep to one stream, dispatch and combine to another.
//
//   two_batch:   attention .. router | dispatch, shared | experts | combine
//   five_stage:  attention | core .. router | dispatch, shared | experts | combine
//
// The second, also two_batch with attention_split, is DeepSeek's decode pipeline: "we subdivide the
// attention layer into two steps and use a 5-stage pipeline"
// (github.com/deepseek-ai/open-infra-index, day 6, 2025-03-01; quoted from memory).
//
// Two stages behind, of four: a half's dispatch travels beside the other's experts or attention, as
// does its combine. Of five (decode, where attention is the longer part): the combine travels
// beside the other half's attention kernel, the dispatch beside shared experts and the other's
// projections.
#include <algorithm>
#include <array>

#include "sim/engine/schedule/schedule.h"

namespace moesim {
namespace {

constexpr std::int32_t kernels = 0;
constexpr std::int32_t all_to_all = 1;
constexpr std::size_t k_behind = 2;
constexpr std::array<std::string_view, 2> stream_names{"kernels", "all-to-all"};

// A node attention_core is there only if attention is two stages.
bool begins_stage(const Work& work, std::int32_t id) {
  switch (work.node(id).kind) {
    case WorkKind::attention:
    case WorkKind::attention_core:
    case WorkKind::dispatch:
    case WorkKind::experts:
    case WorkKind::combine:
      return true;
    default:
      return false;
  }
}

// The nodes of one half in stages. What runs beside the dispatch is listed behind it.
std::vector<std::vector<std::int32_t>> stages_of(const Work& work, std::int32_t half) {
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
    if (begins_stage(work, id) && !stages.back().empty()) {
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

Schedule make(const Work& work, const OverlapOptions&) {
  const auto first = stages_of(work, 0);
  const auto second = stages_of(work, 1);
  Schedule schedule{.order = {}, .streams = 2};
  const auto place = [&](const std::vector<std::int32_t>& stage) {
    for (const std::int32_t id : stage) {
      schedule.order.push_back({id, exchanges(work.node(id)) ? all_to_all : kernels});
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
          .has_split_option = true,
          .streams = stream_names,
          .make = make};
}

OverlapEntry five_stage_entry() {
  return {.name = "five_stage",
          .summary = "two_batch with attention in two stages: DeepSeek's decode",
          .micro_batches = 2,
          .splits_attention = true,
          .streams = stream_names,
          .make = make};
}

}  // namespace moesim
