// Flows over a leaf-spine fabric (Challenging the Need for Packet Spraying in Large-Scale
// Distributed Training, arXiv:2407.00550; the splitting rule restated from its abstract).
//   spray          every packet may take any spine: each link carries flows (leaves-1) / s
//   ecmp           a whole flow takes one spine by a hash: balls in bins
//   minimal_split  of the n flows of a pair of leaves floor(n/s) whole ones take each spine; the
//                  rest r = n mod s are cut into s/gcd(r,s) pieces each, of which every spine takes
//                  r/gcd(r,s): each link carries exactly what spraying puts there
// Loads are counted in whole pieces, so that equal ones are equal.
#include "sim/engine/exchange/algorithms/flow_splitting.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

#include "sim/core/rng.h"

namespace moesim {
namespace {

// Loads of the links from leaves to spines and back, in pieces.
class Links {
 public:
  explicit Links(const LeafSpineTask& task)
      : spines_(task.spines),
        up_(static_cast<std::size_t>(task.leaves * task.spines)),
        down_(up_.size()) {}

  void add(std::int64_t from, std::int64_t to, std::int64_t spine, std::int64_t pieces) {
    up_[static_cast<std::size_t>(from * spines_ + spine)] += pieces;
    down_[static_cast<std::size_t>(to * spines_ + spine)] += pieces;
  }
  [[nodiscard]] std::int64_t most() const {
    return std::max(std::ranges::max(up_), std::ranges::max(down_));
  }

 private:
  std::int64_t spines_;
  std::vector<std::int64_t> up_;
  std::vector<std::int64_t> down_;
};

double ideal(const LeafSpineTask& task) {
  return static_cast<double>(task.flows * (task.leaves - 1)) / static_cast<double>(task.spines);
}

template <class Place>
void for_each_pair(const LeafSpineTask& task, Place place) {
  for (std::int64_t from = 0; from < task.leaves; ++from) {
    for (std::int64_t to = 0; to < task.leaves; ++to) {
      if (from != to) {
        place(from, to);
      }
    }
  }
}

LinkLoads spray(const LeafSpineTask& task) {
  return {.most = ideal(task), .ideal = ideal(task), .subflows = 0};
}

LinkLoads ecmp(const LeafSpineTask& task) {
  Links links(task);
  Rng rng = RngStreams(task.seed).stream("ecmp");
  for_each_pair(task, [&](std::int64_t from, std::int64_t to) {
    for (std::int64_t flow = 0; flow < task.flows; ++flow) {
      const auto spine = rng.below(static_cast<std::uint64_t>(task.spines));
      links.add(from, to, static_cast<std::int64_t>(spine), 1);
    }
  });
  return {.most = static_cast<double>(links.most()), .ideal = ideal(task), .subflows = 0};
}

LinkLoads minimal_split(const LeafSpineTask& task) {
  const std::int64_t whole = task.flows / task.spines;
  const std::int64_t rest = task.flows % task.spines;
  const std::int64_t common = std::gcd(rest, task.spines);
  const std::int64_t pieces = rest == 0 ? 1 : task.spines / common;  // of a flow
  Links links(task);
  LinkLoads loads{.ideal = ideal(task)};
  for_each_pair(task, [&](std::int64_t from, std::int64_t to) {
    for (std::int64_t spine = 0; spine < task.spines; ++spine) {
      links.add(from, to, spine, whole * pieces);
    }
    std::int64_t spine = 0;
    for (std::int64_t piece = 0; piece < rest * pieces; ++piece) {
      links.add(from, to, spine, 1);
      spine = (spine + 1) % task.spines;
    }
    loads.subflows += rest * pieces;
  });
  loads.most = static_cast<double>(links.most()) / static_cast<double>(pieces);
  return loads;
}

constexpr std::array splittings{
    FlowSplitting{"spray", "ideal packet spraying", spray},
    FlowSplitting{"ecmp", "a spine per flow by a hash", ecmp},
    FlowSplitting{"minimal_split", "whole flows, and the rest in the fewest equal pieces",
                  minimal_split},
};

}  // namespace

std::span<const FlowSplitting> flow_splittings() { return splittings; }

const FlowSplitting* find_flow_splitting(std::string_view name) {
  const auto found = std::ranges::find(splittings, name, &FlowSplitting::name);
  return found == splittings.end() ? nullptr : &*found;
}

}  // namespace moesim
