// Experts that take the input of an earlier block run beside what follows it (ScMoE,
// arXiv:2404.05019; LongCat-Flash, arXiv:2509.01322: "single batch overlap"). The dispatch travels
// beside the dense FFN and the next attention's projections, the combine beside the attention
// kernel and the second dense FFN:
//
//   kernels:     attention .. router | dense, projections | experts | attention kernel .., dense |
//   all-to-all:                      | dispatch           |         | combine                    |
//
// One layer takes t1 + max(dispatch, dense + projections) + experts + max(combine, rest).
#include <algorithm>
#include <array>

#include "sim/engine/schedule/schedule.h"

namespace moesim {
namespace {

constexpr std::array<std::string_view, 2> streams{"kernels", "all-to-all"};

class ShortcutOrder {
 public:
  explicit ShortcutOrder(const Work& work) : work_(work), held_(work.nodes().size(), 0) {}

  Schedule make() {
    for (const std::int32_t id : shared_behind_dispatch(work_)) {
      const WorkNode& node = work_.node(id);
      if (node.kind == WorkKind::experts || (waits(id) && belongs_to_experts(node.kind))) {
        waiting_.push_back(id);
        held_[static_cast<std::size_t>(id)] = 1;
        continue;
      }
      if (node.kind == WorkKind::attention_core || waits(id)) {
        release();
      }
      place(id);
    }
    release();
    return std::move(schedule_);
  }

 private:
  static bool belongs_to_experts(WorkKind kind) {
    return kind == WorkKind::combine || kind == WorkKind::expert_sum ||
           kind == WorkKind::latent_out;
  }

  // For something that is held back.
  [[nodiscard]] bool waits(std::int32_t id) const {
    return std::ranges::any_of(work_.after(id), [this](const WorkEdge& edge) {
      return held_[static_cast<std::size_t>(edge.node)] != 0;
    });
  }

  void release() {
    for (const std::int32_t id : waiting_) {
      held_[static_cast<std::size_t>(id)] = 0;
      place(id);
    }
    waiting_.clear();
  }

  void place(std::int32_t id) {
    schedule_.order.push_back({id, exchanges(work_.node(id)) ? 1 : 0});
  }

  const Work& work_;
  std::vector<char> held_;  // by node
  std::vector<std::int32_t> waiting_;
  Schedule schedule_{.order = {}, .streams = 2};
};

}  // namespace

OverlapEntry shortcut_entry() {
  return {
      .name = "shortcut",
      .summary = "dispatch, experts and combine beside the blocks that do not wait for them",
      .splits_attention = true,
      .needs_shortcut = true,
      .streams = streams,
      .make = [](const Work& work, const OverlapOptions&) { return ShortcutOrder(work).make(); }};
}

}  // namespace moesim
