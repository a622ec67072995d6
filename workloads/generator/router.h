// From scores to experts: top-k, top-k among the best groups, or a fixed number per group.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "workloads/generator/token_lanes.h"
#include "workloads/sources/routing.h"

namespace moesim {

// Holds scratch memory: one per thread. Equal scores go to the lower expert id.
class ExpertSelector {
 public:
  // Throws ConfigError for a router without sense (see check_router).
  explicit ExpertSelector(const RouterSpec& router,
                          const detail::LaneKernels& kernels = detail::lane_kernels());

  // Writes top_k distinct ids, best score first.
  //   groups > 1, top_groups < groups: a group's score is the sum of its two best experts'; only
  //   the
  //     best top_groups groups take part (DeepSeek-V3, arXiv:2412.19437 section 2.1.2).
  //   per_group_k > 0: that many of every group (mixture of grouped experts, arXiv:2505.21411).
  void select(std::span<const float> scores, std::span<std::uint16_t> ids);

 private:
  void select_plainly(std::span<const float> scores, std::span<std::uint16_t> ids);

  struct Candidate {
    float score;
    std::uint16_t id;
  };

  void offer(std::span<const float> scores, std::size_t first, std::size_t last);
  void keep_best_groups(std::span<const float> scores);
  static void sort_best_first(std::span<Candidate> list);

  RouterSpec router_;
  std::size_t group_size_;
  const detail::LaneKernels* kernels_ = nullptr;  // null: not for such a router
  detail::LaneRouter lanes_{};
  std::size_t capacity_ = 0;
  std::vector<Candidate> best_;  // sorted, best first
  std::vector<Candidate> groups_;
};

}  // namespace moesim
