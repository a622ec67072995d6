#include "sim/flow/fair_bottleneck.h"

#include <algorithm>
#include <limits>

#include "sim/flow/backend.h"

namespace moesim::detail {

void FairBottleneck::clear() {
  uses_.clear();
  first_use_.clear();
  loads_.clear();
}

std::uint32_t FairBottleneck::add_resource(double fraction) {
  loads_.push_back({.remaining = fraction});
  return static_cast<std::uint32_t>(loads_.size() - 1);
}

void FairBottleneck::begin_segment() {
  first_use_.push_back(static_cast<std::uint32_t>(uses_.size()));
}

void FairBottleneck::add_use(std::uint32_t resource, double seconds) {
  uses_.push_back({resource, seconds});
  ++loads_[resource].live_users;
}

std::span<const FairBottleneck::Use> FairBottleneck::uses(std::size_t segment) const {
  const std::size_t end = segment + 1 < first_use_.size() ? first_use_[segment + 1] : uses_.size();
  return std::span(uses_).subspan(first_use_[segment], end - first_use_[segment]);
}

std::span<const double> FairBottleneck::solve() {
  const std::size_t count = first_use_.size();
  paces_.assign(count, 0.0);
  increments_.assign(count, 0.0);
  live_.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    live_[i] = static_cast<std::uint32_t>(i);
  }
  while (!live_.empty()) {
    ++rounds_;
    raise_live_paces();
    charge_resources();
    retire_segments();
  }
  return paces_;
}

void FairBottleneck::raise_live_paces() {
  for (Load& load : loads_) {
    load.share = load.live_users > 0 ? load.remaining / load.live_users : 0.0;
  }
  for (const std::uint32_t segment : live_) {
    double increment = std::numeric_limits<double>::max();
    for (const Use& use : uses(segment)) {
      increment = std::min(increment, loads_[use.resource].share / use.seconds);
    }
    increments_[segment] = increment;
    paces_[segment] += increment;
  }
}

// All segments are charged, done ones with their last increment: see the law.
void FairBottleneck::charge_resources() {
  for (std::size_t segment = 0; segment < increments_.size(); ++segment) {
    for (const Use& use : uses(segment)) {
      loads_[use.resource].remaining -= use.seconds * increments_[segment];
    }
  }
  for (Load& load : loads_) {
    load.remaining = load.remaining < sharing_precision ? 0.0 : load.remaining;
  }
}

void FairBottleneck::retire_segments() {
  const auto is_done = [this](std::uint32_t segment) {
    const auto used = uses(segment);
    const bool done = std::ranges::any_of(
        used, [this](const Use& use) { return loads_[use.resource].remaining == 0.0; });
    if (done) {
      for (const Use& use : used) {
        --loads_[use.resource].live_users;
      }
    }
    return done;
  };
  std::erase_if(live_, is_done);
}

}  // namespace moesim::detail
