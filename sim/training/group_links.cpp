#include "sim/training/group_links.h"

#include <algorithm>
#include <map>

namespace moesim {
namespace {

using Payloads = std::map<int, double>;  // by link

std::size_t ranks_in_first_node(const Topology& topology, std::span<const int> devices) {
  return static_cast<std::size_t>(std::ranges::count_if(
      devices, [&](int d) { return topology.node_of(d) == topology.node_of(devices.front()); }));
}

void add_ring(const Topology& topology, std::span<const int> devices, double bytes,
              Payloads& payloads) {
  for (std::size_t i = 0; i < devices.size(); ++i) {
    topology.routes().spread(devices[i], devices[(i + 1) % devices.size()], bytes,
                             [&](int link, double amount) { payloads[link] += amount; });
  }
}

void add_rings(const Topology& topology, const std::vector<int>& devices, double bytes,
               Payloads& payloads) {
  const std::size_t here = ranks_in_first_node(topology, devices);
  if (here == devices.size() || here == 1 || devices.size() % here != 0) {
    add_ring(topology, devices, bytes, payloads);
    return;
  }
  std::vector<int> turned = devices;
  for (std::size_t turn = 0; turn < here; ++turn) {
    add_ring(topology, turned, bytes / static_cast<double>(here), payloads);
    for (std::size_t first = 0; first < turned.size(); first += here) {
      const auto begin = turned.begin() + static_cast<std::ptrdiff_t>(first);
      std::rotate(begin, begin + 1, begin + static_cast<std::ptrdiff_t>(here));
    }
  }
}

double bandwidth_of(const Topology& topology, int link) {
  return topology.links()[static_cast<std::size_t>(link)].bandwidth.si();
}

// `sent`: by a device. Alone the cost takes as long as the law says for a link on which `sent`
// takes as long as the payloads take on the slowest of theirs.
template <class Time>
CollectiveCost cost_of(const Topology& topology, const CollectiveLaw& law, double sent,
                       const Payloads& payloads, Time time) {
  CollectiveCost cost;
  double nominal = 0.0;
  for (const auto& [link, payload] : payloads) {
    nominal = std::max(nominal, payload / bandwidth_of(topology, link));
  }
  if (nominal <= 0.0) {
    return cost;
  }
  const Seconds total = time(Bandwidth(sent / nominal));
  const double share = std::min(1.0 / law.best_efficiency(), total.si() / nominal);
  double moving = 0.0;
  for (const auto& [link, payload] : payloads) {
    cost.loads.push_back({link, payload * share, payload});
    moving = std::max(moving, payload * share / bandwidth_of(topology, link));
    cost.payload_bytes += payload;
  }
  cost.latency = std::max(Seconds(0.0), total - Seconds(moving));
  return cost;
}

}  // namespace

CollectiveCost lower_groups(const Topology& topology, const FoundCollective& law, CollectiveOp op,
                            std::span<const std::vector<int>> groups, Bytes bytes) {
  if (groups.empty() || groups.front().size() < 2 || bytes.si() <= 0.0) {
    return {};
  }
  const auto ranks = static_cast<int>(groups.front().size());
  const double sent = bytes.si() * link_volume(op, ranks);
  Payloads payloads;
  bool one_node = true;
  for (const std::vector<int>& group : groups) {
    add_rings(topology, group, sent, payloads);
    one_node = one_node && ranks_in_first_node(topology, group) == group.size();
  }
  CollectiveCost cost = cost_of(topology, law.law, sent, payloads, [&](Bandwidth link) {
    return law.law.time(op, ranks, bytes, link);
  });
  cost.extrapolated = law.extrapolates(ranks, bytes) || !one_node;
  cost.sigma = standard_error(law.fit, law.basis, cost.extrapolated);
  return cost;
}

CollectiveCost lower_sends(const Topology& topology, const FoundCollective& all_gather,
                           std::span<const std::pair<int, int>> pairs, Bytes bytes) {
  Payloads payloads;
  for (const auto& [from, to] : pairs) {
    if (from != to) {
      topology.routes().spread(from, to, bytes.si(),
                               [&](int link, double amount) { payloads[link] += amount; });
    }
  }
  CollectiveCost cost =
      cost_of(topology, all_gather.law, bytes.si(), payloads, [&](Bandwidth link) {
        return all_gather.law.time(CollectiveOp::all_gather, 2, bytes * 2.0, link);
      });
  cost.extrapolated = true;
  cost.sigma = standard_error(all_gather.fit, all_gather.basis, true);
  return cost;
}

void keep_slowest_links(const Topology& topology, CollectiveCost& cost) {
  std::map<LinkKind, LinkLoad> slowest;
  for (const LinkLoad& load : cost.loads) {
    const LinkKind kind = topology.links()[static_cast<std::size_t>(load.link)].kind;
    const auto [known, fresh] = slowest.try_emplace(kind, load);
    if (!fresh && load.bytes / bandwidth_of(topology, load.link) >
                      known->second.bytes / bandwidth_of(topology, known->second.link)) {
      known->second = load;
    }
  }
  cost.loads.clear();
  for (const auto& [kind, load] : slowest) {
    cost.loads.push_back(load);
  }
  std::ranges::sort(cost.loads, {}, &LinkLoad::link);
}

double joules_of(const Topology& topology, const CollectiveCost& cost) {
  double joules = 0.0;
  for (const LinkLoad& load : cost.loads) {
    joules += load.payload * topology.links()[static_cast<std::size_t>(load.link)].joules_per_byte;
  }
  return joules;
}

}  // namespace moesim
