#include "sim/engine/all_to_all_links.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr std::array k_directions{Direction::dispatch, Direction::combine};

bool joins_device(LinkKind kind) {
  return kind == LinkKind::device_up || kind == LinkKind::device_down ||
         kind == LinkKind::host_up || kind == LinkKind::host_down;
}

// Eight partial sums: no chain of additions to wait for, and a fixed order.
double sum_of(std::span<const double> values) {
  std::array<double, 8> partial{};
  const std::size_t whole = values.size() / partial.size() * partial.size();
  for (std::size_t i = 0; i < whole; i += partial.size()) {
    for (std::size_t l = 0; l < partial.size(); ++l) {
      partial[l] += values[i + l];
    }
  }
  return std::accumulate(
      partial.begin(), partial.end(),
      std::accumulate(values.begin() + static_cast<std::ptrdiff_t>(whole), values.end(), 0.0));
}

std::vector<std::vector<int>> lanes_or_identity(const Topology& topology,
                                                const AllToAllSpec& spec) {
  if (!spec.lanes.empty()) {
    return spec.lanes;
  }
  std::vector<int> all(static_cast<std::size_t>(topology.devices()));
  std::iota(all.begin(), all.end(), 0);
  return {all};
}

RankGrid grid_of_lane(const Topology& topology, std::span<const int> devices) {
  ensure(!devices.empty(), "a lane has ranks");
  const auto on_first_node = std::ranges::count_if(
      devices, [&](int d) { return topology.node_of(d) == topology.node_of(devices.front()); });
  const RankGrid grid{static_cast<int>(devices.size()), static_cast<int>(on_first_node)};
  ensure(grid.ranks % grid.ranks_per_node == 0, "every node of a lane holds as many ranks");
  for (int r = 0; r < grid.ranks; ++r) {
    const int first = r - r % grid.ranks_per_node;
    ensure(topology.node_of(devices[static_cast<std::size_t>(r)]) ==
               topology.node_of(devices[static_cast<std::size_t>(first)]),
           "ranks of a node are contiguous");
  }
  return grid;
}

}  // namespace

AllToAllLowering::AllToAllLowering(const Topology& topology, std::span<const CommProfile> profiles,
                                   const CommTarget& target, const AllToAllSpec& spec,
                                   std::string_view where)
    : topology_(&topology), entry_(&find_all_to_all_algorithm(spec.algorithm, where)), spec_(spec) {
  const bool identity = spec.lanes.empty();
  spec_.lanes = lanes_or_identity(topology, spec);
  grid_ = grid_of_lane(topology, spec_.lanes.front());
  for (const auto& lane : spec_.lanes) {
    const RankGrid other = grid_of_lane(topology, lane);
    ensure(other.ranks == grid_.ranks && other.ranks_per_node == grid_.ranks_per_node,
           "lanes are alike");
  }
  for (const Direction direction : k_directions) {
    auto& law = laws_[static_cast<std::size_t>(direction)];
    law = find_all_to_all(profiles, target, entry_->name, direction, grid_.nodes() > 1);
    auto& inverse = inverse_efficiency_[static_cast<std::size_t>(direction)];
    for (const Link& link : topology.links()) {
      const bool device_link = joins_device(link.kind);
      inverse.push_back(device_link && spec_.link_rate.si() > 0.0
                            ? link.bandwidth / spec_.link_rate
                            : law.law.stretch(link.bandwidth, device_link));
    }
  }
  const auto devices = static_cast<std::size_t>(topology.devices());
  copies_.resize(static_cast<std::size_t>(grid_.ranks) * static_cast<std::size_t>(grid_.ranks));
  if (!identity) {
    device_copies_.resize(devices * devices);
  }
  for (auto& amounts : link_copies_) {
    amounts.resize(topology.links().size());
  }
  find_mirrors();
}

std::vector<int> AllToAllLowering::node_of_rank() const {
  std::vector<int> nodes;
  for (int r = 0; r < grid_.ranks; ++r) {
    nodes.push_back(grid_.node_of(r));
  }
  return nodes;
}

// The same wire in the other direction.
void AllToAllLowering::find_mirrors() {
  mirror_.resize(topology_->links().size());
  std::iota(mirror_.begin(), mirror_.end(), 0);
  const auto pair_up = [&](int one, int other) {
    if (one >= 0 && other >= 0) {
      mirror_[static_cast<std::size_t>(one)] = other;
      mirror_[static_cast<std::size_t>(other)] = one;
    }
  };
  for (int d = 0; d < topology_->devices(); ++d) {
    pair_up(topology_->device_up(d), topology_->device_down(d));
  }
  const auto leaf_links = std::ranges::count(topology_->links(), LinkKind::leaf_up, &Link::kind);
  const int spines =
      topology_->rails() == 0 ? 0 : static_cast<int>(leaf_links) / topology_->rails();
  for (int rail = 0; rail < topology_->rails(); ++rail) {
    for (int node = 0; node < topology_->nodes(); ++node) {
      pair_up(topology_->nic_up(node, rail), topology_->nic_down(node, rail));
    }
    for (int spine = 0; spine < spines; ++spine) {
      pair_up(topology_->leaf_up(rail, spine), topology_->leaf_down(rail, spine));
    }
  }
}

void AllToAllLowering::spread_over_lanes() {
  const auto ranks = static_cast<std::size_t>(grid_.ranks);
  const auto devices = static_cast<std::size_t>(topology_->devices());
  std::ranges::fill(device_copies_, 0.0);
  for (const auto& lane : spec_.lanes) {
    for (std::size_t to = 0; to < ranks; ++to) {
      for (std::size_t from = 0; from < ranks; ++from) {
        device_copies_[static_cast<std::size_t>(lane[to]) * devices +
                       static_cast<std::size_t>(lane[from])] += copies_[to * ranks + from];
      }
    }
  }
}

void AllToAllLowering::feed_busiest_experts(Direction direction, const LayerTraffic& traffic,
                                            Bytes copy, std::span<double> link_bytes) const {
  const AllToAllLaw& found = law(direction).law;
  if (found.expert_rate.si() == 0.0) {
    return;
  }
  for (const auto& lane : spec_.lanes) {
    for (std::size_t r = 0; r < lane.size(); ++r) {
      const int link = direction == Direction::dispatch ? topology_->device_down(lane[r])
                                                        : topology_->device_up(lane[r]);
      if (link < 0) {
        continue;
      }
      const auto l = static_cast<std::size_t>(link);
      const Seconds fed = found.feeding(copy * static_cast<double>(traffic.load[r].busiest));
      link_bytes[l] = std::max(link_bytes[l], (fed * topology_->links()[l].bandwidth).si());
    }
  }
}

void AllToAllLowering::fill(Direction direction, const LayerDemand& demand,
                            std::span<const double> link_copies, double copies,
                            CollectiveCost& cost) const {
  const FoundAllToAll& found = law(direction);
  const Bytes copy = direction == Direction::dispatch ? entry_->dispatch_bytes(spec_.payload)
                                                      : entry_->combine_bytes(spec_.payload);
  const auto& inverse = inverse_efficiency_[static_cast<std::size_t>(direction)];
  std::vector<double> link_bytes(link_copies.size());
  for (std::size_t l = 0; l < link_bytes.size(); ++l) {
    link_bytes[l] = link_copies[l] * copy.si() * inverse[l];
  }
  feed_busiest_experts(direction, *demand.traffic, copy, link_bytes);
  cost.loads.clear();
  for (std::size_t l = 0; l < link_bytes.size(); ++l) {
    if (link_bytes[l] > 0.0) {
      cost.loads.push_back(
          {static_cast<std::int32_t>(l), link_bytes[l], link_copies[l] * copy.si()});
    }
  }
  std::int64_t most_tokens = 0;
  for (int r = 0; r < grid_.ranks; ++r) {
    most_tokens = std::max(most_tokens, demand.layout->tokens_of(r));
  }
  cost.token_copies = copies;
  cost.payload_bytes = copies * copy.si() * static_cast<double>(spec_.lanes.size());
  cost.latency = found.law.latency(grid_.nodes(), spec_.slots, most_tokens);
  cost.extrapolated = found.extrapolates(most_tokens, spec_.payload.hidden, grid_.ranks);
  cost.sigma = standard_error(found.fit, found.basis, cost.extrapolated);
}

void AllToAllLowering::lower(const LayerDemand& demand, CollectiveCost& dispatch,
                             CollectiveCost& combine) {
  ensure(demand.layout != nullptr && demand.traffic != nullptr &&
             demand.traffic->ranks == grid_.ranks && demand.layout->ranks() == grid_.ranks,
         "a layer's demand covers the ranks");
  ensure(!entry_->needs_distinct ||
             (demand.distinct != nullptr && demand.distinct->ranks == grid_.ranks),
         "this all-to-all needs distinct counts");
  entry_->fill_copies(demand, grid_, copies_);
  if (!device_copies_.empty()) {
    spread_over_lanes();
  }
  // [to][from] of the dispatch read as [from][to] is the combine.
  const auto& backwards = device_copies_.empty() ? copies_ : device_copies_;
  auto& out = link_copies_[static_cast<std::size_t>(Direction::dispatch)];
  auto& back = link_copies_[static_cast<std::size_t>(Direction::combine)];
  std::ranges::fill(back, 0.0);
  topology_->add_traffic(backwards, back);
  for (std::size_t l = 0; l < out.size(); ++l) {
    out[l] = back[static_cast<std::size_t>(mirror_[l])];
  }
  const double copies = sum_of(copies_);
  fill(Direction::dispatch, demand, out, copies, dispatch);
  fill(Direction::combine, demand, back, copies, combine);
}

CollectiveCost lower_collective(const Topology& topology, const FoundCollective& law,
                                CollectiveOp op, std::span<const int> devices, Bytes bytes) {
  CollectiveCost cost;
  const auto ranks = static_cast<int>(devices.size());
  if (ranks < 2 || bytes.si() == 0.0) {
    return cost;
  }
  const auto n = static_cast<std::size_t>(topology.devices());
  std::vector<double> ring(n * n);
  for (std::size_t i = 0; i < devices.size(); ++i) {
    const int next = devices[(i + 1) % devices.size()];
    ring[static_cast<std::size_t>(devices[i]) * n + static_cast<std::size_t>(next)] =
        bytes.si() * link_volume(op, ranks);
  }
  std::vector<double> amounts(topology.links().size());
  topology.add_traffic(ring, amounts);
  // The rate of the slowest link that the ring crosses.
  Bandwidth slowest(0.0);
  for (std::size_t l = 0; l < amounts.size(); ++l) {
    const Bandwidth rate = topology.links()[l].bandwidth;
    if (amounts[l] > 0.0 && (slowest.si() == 0.0 || rate < slowest)) {
      slowest = rate;
    }
  }
  const Seconds total = law.law.time(op, ranks, bytes, slowest);
  const double share = std::min(1.0 / law.law.best_efficiency(),
                                (total * slowest).si() / (bytes.si() * link_volume(op, ranks)));
  Seconds moving(0.0);
  for (std::size_t l = 0; l < amounts.size(); ++l) {
    if (amounts[l] > 0.0) {
      cost.loads.push_back({static_cast<std::int32_t>(l), amounts[l] * share, amounts[l]});
      moving = std::max(moving, Bytes(amounts[l] * share) / topology.links()[l].bandwidth);
    }
  }
  const bool one_node = std::ranges::all_of(
      devices, [&](int d) { return topology.node_of(d) == topology.node_of(devices.front()); });
  cost.latency = std::max(Seconds(0.0), total - moving);
  cost.payload_bytes = bytes.si() * link_volume(op, ranks) * ranks;
  cost.extrapolated = law.extrapolates(ranks, bytes) || !one_node;
  cost.sigma = standard_error(law.fit, law.basis, cost.extrapolated);
  return cost;
}

}  // namespace moesim
