#include "sim/engine/exchange/collective_links.h"

#include <algorithm>
#include <utility>

namespace moesim {
namespace {

bool in_one_node(const Topology& topology, std::span<const int> devices) {
  return std::ranges::all_of(
      devices, [&](int d) { return topology.node_of(d) == topology.node_of(devices.front()); });
}

// What each device of a ring sends to the next, on links: ascending, each once.
std::vector<LinkLoad> ring(const Topology& topology, std::span<const int> devices, double bytes) {
  std::vector<LinkLoad> parts;
  for (std::size_t i = 0; i < devices.size(); ++i) {
    topology.routes().spread(
        devices[i], devices[(i + 1) % devices.size()], bytes,
        [&](int link, double amount) { parts.push_back({link, 0.0, amount}); });
  }
  std::ranges::stable_sort(parts, {}, &LinkLoad::link);
  std::vector<LinkLoad> loads;
  for (const LinkLoad& part : parts) {
    if (loads.empty() || loads.back().link != part.link) {
      loads.push_back(part);
    } else {
      loads.back().payload += part.payload;
    }
  }
  return loads;
}

}  // namespace

CollectiveCost lower_collective(const Topology& topology, const FoundCollective& law,
                                CollectiveOp op, std::span<const int> devices, Bytes bytes) {
  CollectiveCost cost;
  const auto ranks = static_cast<int>(devices.size());
  if (ranks < 2 || bytes.si() == 0.0) {
    return cost;
  }
  const double sent = bytes.si() * link_volume(op, ranks);
  cost.loads = ring(topology, devices, sent);
  const auto rate = [&](const LinkLoad& load) {
    return topology.links()[static_cast<std::size_t>(load.link)].bandwidth;
  };
  // The rate of the slowest link that the ring crosses.
  const Bandwidth slowest = rate(*std::ranges::min_element(cost.loads, {}, rate));
  const Seconds total = law.law.time(op, ranks, bytes, slowest);
  const double share = std::min(1.0 / law.law.best_efficiency(), (total * slowest).si() / sent);
  Seconds moving(0.0);
  for (LinkLoad& load : cost.loads) {
    load.bytes = load.payload * share;
    moving = std::max(moving, Bytes(load.bytes) / rate(load));
  }
  cost.latency = std::max(Seconds(0.0), total - moving);
  cost.payload_bytes = sent * ranks;
  cost.extrapolated = law.extrapolates(ranks, bytes) || !in_one_node(topology, devices);
  cost.sigma = standard_error(law.fit, law.basis, cost.extrapolated);
  return cost;
}

void CollectiveLowering::begin_step() {
  constexpr std::size_t k_most = 256;
  if (known_.size() > k_most) {
    known_.clear();
  }
}

const CollectiveCost& CollectiveLowering::lower(const FoundCollective& law, CollectiveOp op,
                                                std::span<const int> devices, Bytes bytes) {
  if (devices.empty() || !in_one_node(*topology_, devices)) {
    return spread_ = lower_collective(*topology_, law, op, devices, bytes);
  }
  const int node = topology_->node_of(devices.front());
  places_.clear();
  for (const int device : devices) {
    places_.push_back(device % topology_->devices_per_node());
  }
  auto known = known_.find({op, bytes.si(), places_});
  if (known == known_.end()) {  // worked out first: what throws must not be remembered
    Remembered fresh{node, lower_collective(*topology_, law, op, devices, bytes)};
    known = known_.emplace(Key{op, bytes.si(), places_}, std::move(fresh)).first;
  }
  move_to(node, known->second);
  return known->second.cost;
}

void CollectiveLowering::move_to(int node, Remembered& known) const {
  const int shift = (node - known.node) * topology_->links_per_node();
  for (LinkLoad& load : known.cost.loads) {
    load.link += shift;
  }
  known.node = node;
}

}  // namespace moesim
