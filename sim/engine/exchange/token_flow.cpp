#include "sim/engine/exchange/token_flow.h"

#include <numeric>

namespace moesim {

void TokenFlow::reset(const RankGrid& of) {
  grid = of;
  const auto ranks = static_cast<std::size_t>(grid.ranks);
  const auto places = static_cast<std::size_t>(grid.ranks_per_node);
  for (auto* amounts : {&near_out, &near_in, &far_out, &far_in}) {
    amounts->assign(ranks, 0);
  }
  between.assign(places * places, 0);
}

std::int64_t TokenFlow::near_copies() const {
  return std::accumulate(near_out.begin(), near_out.end(), std::int64_t{0});
}

std::int64_t TokenFlow::far_copies() const {
  return std::accumulate(far_out.begin(), far_out.end(), std::int64_t{0});
}

}  // namespace moesim
