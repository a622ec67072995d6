#include "workloads/generator/router.h"

#include <algorithm>
#include <limits>

#include "sim/core/error.h"

namespace moesim {

void check_router(const RouterSpec& router, const std::string& where) {
  const auto require = [&](bool condition, const std::string& what) {
    if (!condition) {
      throw ConfigError(where, what);
    }
  };
  require(router.layers >= 1, "a router needs at least one layer");
  require(router.experts >= 1 && router.experts <= 65535, "experts must be 1 to 65535");
  require(router.top_k >= 1 && router.top_k <= router.experts,
          "top_k must be 1 to the number of experts (" + std::to_string(router.experts) + ")");
  require(router.groups >= 1 && router.experts % router.groups == 0,
          std::to_string(router.groups) + " groups do not divide " +
              std::to_string(router.experts) + " experts");
  require(router.top_groups >= 1 && router.top_groups <= router.groups,
          "top_groups must be 1 to the number of groups (" + std::to_string(router.groups) + ")");
  const int group_size = router.experts / router.groups;
  if (router.per_group_k > 0) {
    require(router.per_group_k <= group_size && router.top_k == router.per_group_k * router.groups,
            "per_group_k must fit a group, and top_k be per_group_k x groups");
  } else {
    require(router.per_group_k == 0 && router.top_k <= router.top_groups * group_size,
            "top_groups groups must hold top_k experts");
  }
}

// Insertion sort: stable, and short lists are nearly all there are.
void ExpertSelector::sort_best_first(std::span<Candidate> list) {
  for (std::size_t i = 1; i < list.size(); ++i) {
    for (std::size_t j = i; j > 0 && list[j].score > list[j - 1].score; --j) {
      std::swap(list[j], list[j - 1]);
    }
  }
}

ExpertSelector::ExpertSelector(const RouterSpec& router, const detail::LaneKernels& kernels)
    : router_(router) {
  check_router(router, "router");
  group_size_ = static_cast<std::size_t>(router.experts / router.groups);
  best_.resize(static_cast<std::size_t>(router.top_k));
  groups_.reserve(static_cast<std::size_t>(router.groups));
  const bool grouped = router.top_groups < router.groups;
  lanes_ = {.experts = static_cast<std::size_t>(router.experts),
            .groups = grouped ? static_cast<std::size_t>(router.groups) : 1,
            .top_groups = static_cast<std::size_t>(router.top_groups),
            .top_k = static_cast<std::size_t>(router.top_k)};
  if (router.per_group_k == 0 && detail::selects_in_lanes(lanes_)) {
    kernels_ = &kernels;
  }
}

// Inserts scores[first, last) into the best `capacity_` of this round, which end best_.
void ExpertSelector::offer(std::span<const float> scores, std::size_t first, std::size_t last) {
  Candidate* const begin = best_.data();
  Candidate* const end = begin + capacity_;
  float threshold = (end - 1)->score;
  for (std::size_t e = first; e < last; ++e) {
    const float score = scores[e];
    if (!(score > threshold)) {
      continue;
    }
    Candidate* at = end - 1;
    for (; at > begin && score > (at - 1)->score; --at) {
      *at = *(at - 1);
    }
    *at = {score, static_cast<std::uint16_t>(e)};
    threshold = (end - 1)->score;
  }
}

void ExpertSelector::keep_best_groups(std::span<const float> scores) {
  groups_.clear();
  for (std::size_t g = 0; g < static_cast<std::size_t>(router_.groups); ++g) {
    float first = -std::numeric_limits<float>::infinity();
    float second = first;
    for (const float score : scores.subspan(g * group_size_, group_size_)) {
      second = std::max(second, std::min(first, score));
      first = std::max(first, score);
    }
    const float sum = group_size_ > 1 ? first + second : first;
    groups_.push_back({sum, static_cast<std::uint16_t>(g)});
  }
  sort_best_first(groups_);
  groups_.resize(static_cast<std::size_t>(router_.top_groups));
  // Offered in the order of their ids, so that ties go to the lower id.
  std::ranges::sort(groups_, {}, &Candidate::id);
}

void ExpertSelector::select(std::span<const float> scores, std::span<std::uint16_t> ids) {
  if (kernels_ == nullptr || !kernels_->select(lanes_, scores.data(), ids.data())) {
    select_plainly(scores, ids);
  }
}

void ExpertSelector::select_plainly(std::span<const float> scores, std::span<std::uint16_t> ids) {
  constexpr Candidate none{-std::numeric_limits<float>::infinity(), 0};
  capacity_ = best_.size();
  std::ranges::fill(best_, none);
  if (router_.per_group_k > 0) {
    std::vector<Candidate>& all = groups_;
    all.clear();
    capacity_ = static_cast<std::size_t>(router_.per_group_k);
    for (std::size_t g = 0; g < static_cast<std::size_t>(router_.groups); ++g) {
      std::fill_n(best_.begin(), capacity_, none);
      offer(scores, g * group_size_, (g + 1) * group_size_);
      all.insert(all.end(), best_.begin(), best_.begin() + static_cast<std::ptrdiff_t>(capacity_));
    }
    sort_best_first(all);
    best_ = all;
  } else if (router_.top_groups < router_.groups) {
    keep_best_groups(scores);
    for (const Candidate& group : groups_) {
      offer(scores, group.id * group_size_, (group.id + std::size_t{1}) * group_size_);
    }
  } else {
    offer(scores, 0, static_cast<std::size_t>(router_.experts));
  }
  for (std::size_t k = 0; k < ids.size(); ++k) {
    ids[k] = best_[k].id;
  }
}

}  // namespace moesim
