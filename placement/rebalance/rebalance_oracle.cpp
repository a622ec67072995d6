// What could have been reached: the best sequence, by dynamic programming, of all placements that
// any other policy could use in any window, and of those made for a single window, future ones too.
//
//   best(w, c) = min over p of best(w - 1, p) + cost(p -> c, w)
//
// A move costs nothing less than serving the window under the better of both, so predecessors are
// tried in the order of best(w - 1, p) until that bound excludes the rest.
#include <algorithm>
#include <limits>
#include <numeric>

#include "placement/published/eplb.h"
#include "placement/rebalance/rebalance_policies.h"

namespace moesim::rebalance {
namespace {

std::vector<int> all_candidates(RebalanceStudy& study) {
  std::vector<int> candidates = plan_few_moves(study);  // whose placements no solver makes
  candidates.push_back(0);
  const bool eplb = unfit_eplb(study.task().problem).empty();
  for (int w = 0; w < study.windows(); ++w) {
    for (const int first : {study.first_remembered(w), w}) {
      candidates.push_back(study.solved(first, w));
      if (eplb) {
        candidates.push_back(study.solved_by_eplb(first, w));
      }
    }
  }
  std::ranges::sort(candidates);
  candidates.erase(std::ranges::unique(candidates).begin(), candidates.end());
  return candidates;
}

struct Best {
  double seconds = std::numeric_limits<double>::infinity();
  int from = 0;  // candidate of the window before
};

}  // namespace

std::vector<int> plan_oracle(RebalanceStudy& study) {
  const std::vector<int> candidates = all_candidates(study);
  const std::size_t count = static_cast<std::size_t>(candidates.back()) + 1;
  std::vector<double> before(count, std::numeric_limits<double>::infinity());
  before[0] = 0.0;  // the initial placement
  std::vector<std::vector<Best>> best;
  for (int w = 0; w < study.windows(); ++w) {
    std::vector<int> order = candidates;
    std::ranges::stable_sort(order, {}, [&](int c) { return before[static_cast<std::size_t>(c)]; });
    std::vector<Best> here(count);
    std::vector<double> seconds(count, std::numeric_limits<double>::infinity());
    for (const int to : candidates) {
      Best& found = here[static_cast<std::size_t>(to)];
      for (const int from : order) {
        const double so_far = before[static_cast<std::size_t>(from)];
        const double least =
            so_far + std::min(study.serving_seconds(from, w), study.serving_seconds(to, w));
        if (!(so_far < found.seconds)) {
          break;
        }
        if (least >= found.seconds) {
          continue;
        }
        const double total = so_far + study.cost(from, to, w).total();
        if (total < found.seconds) {
          found = {total, from};
        }
      }
      seconds[static_cast<std::size_t>(to)] = found.seconds;
    }
    before = std::move(seconds);
    best.push_back(std::move(here));
  }
  std::vector<int> plan(best.size());
  int last = static_cast<int>(std::ranges::min_element(before) - before.begin());
  for (std::size_t w = best.size(); w-- > 0;) {
    plan[w] = last;
    last = best[w][static_cast<std::size_t>(last)].from;
  }
  return plan;
}

}  // namespace moesim::rebalance
