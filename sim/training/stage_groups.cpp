#include "sim/training/stage_groups.h"

#include "sim/core/error.h"

namespace moesim {
namespace {

// Ranks are (outer, middle, inner) with inner fastest; a group varies one of them.
std::vector<std::vector<int>> varying_middle(int outer, int middle, int inner) {
  std::vector<std::vector<int>> groups;
  for (int o = 0; o < outer; ++o) {
    for (int i = 0; i < inner; ++i) {
      std::vector<int>& group = groups.emplace_back();
      for (int m = 0; m < middle; ++m) {
        group.push_back((o * middle + m) * inner + i);
      }
    }
  }
  return groups;
}

}  // namespace

std::vector<std::vector<int>> groups_of(RankGroup group, const Parallelism& p) {
  switch (group) {
    case RankGroup::tensor:
      return varying_middle(p.attention_cp * p.attention_dp, p.attention_tp, 1);
    case RankGroup::context:
      return varying_middle(p.attention_dp, p.attention_cp, p.attention_tp);
    case RankGroup::data:
      return varying_middle(1, p.attention_cp * p.attention_dp, p.attention_tp);
    case RankGroup::experts:
      return varying_middle(p.expert_dp, p.expert_ep, p.expert_tp);
    case RankGroup::expert_slice:
      return varying_middle(p.expert_ep * p.expert_dp, p.expert_tp, 1);
    case RankGroup::expert_data:
      return varying_middle(1, p.expert_dp, p.expert_ep * p.expert_tp);
  }
  throw InvariantError("ranks are grouped in one of six ways");
}

}  // namespace moesim
