#include "sim/engine/rank_map.h"

#include <numeric>

#include "sim/core/error.h"

namespace moesim {

RankMap::RankMap(const Parallelism& parallelism, int devices) : p_(parallelism), devices_(devices) {
  ensure(p_.ranks_per_stage() == p_.expert_tp * p_.expert_ep * p_.expert_dp,
         "attention and experts cover the same ranks");
  ensure(devices_ > 0 && ranks() % devices_ == 0, "ranks fill devices evenly");
}

std::vector<int> RankMap::tensor_group(int group) const {
  std::vector<int> ranks(static_cast<std::size_t>(p_.attention_tp));
  std::iota(ranks.begin(), ranks.end(), group * p_.attention_tp);
  return ranks;
}

std::vector<int> RankMap::expert_group(int group) const {
  std::vector<int> ranks(static_cast<std::size_t>(units() * lanes()));
  std::iota(ranks.begin(), ranks.end(), rank_of(group, 0, 0));
  return ranks;
}

}  // namespace moesim
