#include "sim/engine/exchange/all_to_all_links.h"

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
    ensure((devices[static_cast<std::size_t>(r)] -
            devices[static_cast<std::size_t>(grid.place_of(r))]) %
                   topology.devices_per_node() ==
               0,
           "ranks sit at the same places in every node");
  }
  return grid;
}

}  // namespace

AllToAllLowering::AllToAllLowering(const Topology& topology, std::span<const CommProfile> profiles,
                                   const CommTarget& target, const AllToAllSpec& spec,
                                   std::string_view where)
    : topology_(&topology), entry_(&find_all_to_all_algorithm(spec.algorithm, where)), spec_(spec) {
  spec_.lanes = lanes_or_identity(topology, spec);
  grid_ = grid_of_lane(topology, spec_.lanes.front());
  for (const auto& lane : spec_.lanes) {
    const RankGrid other = grid_of_lane(topology, lane);
    ensure(other.ranks == grid_.ranks && other.ranks_per_node == grid_.ranks_per_node,
           "lanes are alike");
  }
  for (const Direction direction : k_directions) {
    laws_[static_cast<std::size_t>(direction)] =
        find_all_to_all(profiles, target, spec_.algorithm, direction, grid_.nodes() > 1);
  }
  find_links();
  find_uses();
}

std::vector<int> AllToAllLowering::node_of_rank() const {
  std::vector<int> nodes;
  for (int r = 0; r < grid_.ranks; ++r) {
    nodes.push_back(grid_.node_of(r));
  }
  return nodes;
}

std::int32_t AllToAllLowering::position_of(int link) const {
  const auto found = std::ranges::lower_bound(links_, link, {}, &GroupLink::link);
  ensure(found != links_.end() && found->link == link, "a group knows its links");
  return static_cast<std::int32_t>(found - links_.begin());
}

// Those of its devices, which feed experts even where no token crosses them, and of its routes.
void AllToAllLowering::find_links() {
  const Routes& routes = topology_->routes();
  std::vector<int> ids;
  const auto both_ways = [&](int link) {
    if (link >= 0) {
      ids.push_back(link);
      ids.push_back(topology_->reverse(link));
    }
  };
  for (const auto& lane : spec_.lanes) {
    for (const int device : lane) {
      const int place = device % topology_->devices_per_node();
      const int first = topology_->node_of(device) * topology_->links_per_node();
      both_ways(topology_->device_up(device));
      for (const auto& links : {routes.near_out(place), routes.near_in(place),
                                routes.far_out(place), routes.far_in(place)}) {
        for (const int link : links) {
          both_ways(first + link);
        }
      }
    }
  }
  if (grid_.nodes() > 1) {
    for (const Routes::Ways& ways : routes.ways()) {
      for (const auto& way : ways) {
        std::ranges::for_each(way, both_ways);
      }
    }
  }
  std::ranges::sort(ids);
  const auto repeated = std::ranges::unique(ids);
  ids.erase(repeated.begin(), repeated.end());
  for (const int id : ids) {
    const Link& link = topology_->links()[static_cast<std::size_t>(id)];
    GroupLink& known = links_.emplace_back();
    known.link = id;
    known.bandwidth = link.bandwidth.si();
    for (std::size_t d = 0; d < laws_.size(); ++d) {
      const AllToAllLaw& law = laws_[d].law;
      const bool device_link = joins_device(link.kind);
      known.inverse_efficiency[d] = device_link && spec_.link_rate.si() > 0.0
                                        ? link.bandwidth / spec_.link_rate
                                        : law.stretch(link.bandwidth, device_link);
    }
  }
  for (GroupLink& known : links_) {
    known.reverse = position_of(topology_->reverse(known.link));
  }
  combine_copies_.resize(links_.size());
  link_bytes_.resize(links_.size());
  payload_.resize(links_.size());
}

void AllToAllLowering::find_uses() {
  const Routes& routes = topology_->routes();
  const auto place_of = [&](int device) { return device % topology_->devices_per_node(); };
  for (const auto& lane : spec_.lanes) {
    for (int rank = 0; rank < grid_.ranks; ++rank) {
      const int device = lane[static_cast<std::size_t>(rank)];
      const int first = topology_->node_of(device) * topology_->links_per_node();
      const auto use = [&](std::span<const int> links, std::vector<Use>& uses) {
        for (const int link : links) {
          uses.push_back({position_of(first + link), rank});
        }
      };
      use(routes.near_out(place_of(device)), uses_.near_out);
      use(routes.near_in(place_of(device)), uses_.near_in);
      use(routes.far_out(place_of(device)), uses_.far_out);
      use(routes.far_in(place_of(device)), uses_.far_in);
      if (topology_->device_up(device) >= 0) {
        uses_.up.push_back({position_of(topology_->device_up(device)), rank});
        uses_.down.push_back({position_of(topology_->device_down(device)), rank});
      }
    }
  }
  if (grid_.nodes() == 1) {
    return;
  }
  for (const auto& lane : spec_.lanes) {
    for (int from = 0; from < grid_.ranks_per_node; ++from) {
      for (int to = 0; to < grid_.ranks_per_node; ++to) {
        class_of_places_.push_back(
            routes.ways_between(place_of(lane[static_cast<std::size_t>(from)]),
                                place_of(lane[static_cast<std::size_t>(to)])));
      }
    }
  }
  copies_of_class_.resize(routes.ways().size());
  for (std::size_t c = 0; c < routes.ways().size(); ++c) {
    for (const auto& way : routes.ways()[c]) {
      for (const int link : way) {
        fabric_uses_.push_back({position_of(link), static_cast<std::int32_t>(c),
                                static_cast<double>(routes.ways()[c].size())});
      }
    }
  }
}

// Copies on every link when all go backwards: from who receives in a dispatch to who sends.
void AllToAllLowering::amounts_of_combine(const TokenFlow& copies) {
  std::ranges::fill(combine_copies_, 0.0);
  const auto add = [this](const std::vector<Use>& uses, const std::vector<std::int64_t>& amounts) {
    for (const Use& use : uses) {
      combine_copies_[static_cast<std::size_t>(use.link)] +=
          static_cast<double>(amounts[static_cast<std::size_t>(use.rank)]);
    }
  };
  add(uses_.near_out, copies.near_in);
  add(uses_.near_in, copies.near_out);
  add(uses_.far_out, copies.far_in);
  add(uses_.far_in, copies.far_out);
  if (grid_.nodes() == 1) {
    return;
  }
  std::ranges::fill(copies_of_class_, 0.0);
  const auto places = static_cast<std::size_t>(grid_.ranks_per_node);
  for (std::size_t pair = 0; pair < class_of_places_.size(); ++pair) {
    const std::size_t from = pair / places % places;  // of the combine
    const std::size_t to = pair % places;
    copies_of_class_[static_cast<std::size_t>(class_of_places_[pair])] +=
        static_cast<double>(copies.between[to * places + from]);
  }
  for (const FabricUse& use : fabric_uses_) {
    combine_copies_[static_cast<std::size_t>(use.link)] +=
        copies_of_class_[static_cast<std::size_t>(use.pair_class)] / use.ways;
  }
}

void AllToAllLowering::feed_busiest_experts(Direction direction, const LayerTraffic& traffic,
                                            Bytes copy) {
  const AllToAllLaw& found = law(direction).law;
  if (found.stream_rate.si() == 0.0) {
    return;
  }
  for (const Use& use : direction == Direction::dispatch ? uses_.down : uses_.up) {
    const auto l = static_cast<std::size_t>(use.link);
    const auto r = static_cast<std::size_t>(use.rank);
    // Sources have about as much for the busiest expert.
    const double of_one = static_cast<double>(traffic.load[r].busiest) / grid_.ranks;
    const Seconds fed = found.streaming(copy * of_one);
    link_bytes_[l] = std::max(link_bytes_[l], (fed * Bandwidth(links_[l].bandwidth)).si());
  }
}

void AllToAllLowering::fill(Direction direction, const LayerDemand& demand, double copies,
                            CollectiveCost& cost) {
  const FoundAllToAll& found = law(direction);
  const Bytes copy = direction == Direction::dispatch ? entry_->dispatch_bytes(spec_.payload)
                                                      : entry_->combine_bytes(spec_.payload);
  const auto d = static_cast<std::size_t>(direction);
  for (std::size_t l = 0; l < links_.size(); ++l) {
    const std::size_t from =
        direction == Direction::combine ? l : static_cast<std::size_t>(links_[l].reverse);
    payload_[l] = combine_copies_[from] * copy.si();
    link_bytes_[l] = payload_[l] * links_[l].inverse_efficiency[d];
  }
  feed_busiest_experts(direction, *demand.traffic, copy);
  cost.loads.resize(links_.size());
  std::size_t used = 0;
  for (std::size_t l = 0; l < links_.size(); ++l) {
    cost.loads[used] = {links_[l].link, link_bytes_[l], payload_[l]};
    used += link_bytes_[l] > 0.0 ? 1U : 0U;
  }
  cost.loads.resize(used);
  std::int64_t most_tokens = 0;
  for (int r = 0; r < grid_.ranks; ++r) {
    most_tokens = std::max(most_tokens, demand.layout->tokens_of(r));
  }
  cost.token_copies = copies;
  cost.payload_bytes = copies * copy.si() * static_cast<double>(spec_.lanes.size());
  const AllToAllSize size{.ranks = grid_.ranks,
                          .nodes = grid_.nodes(),
                          .experts = spec_.slots,
                          .tokens = most_tokens,
                          .hidden = spec_.payload.hidden};
  const Seconds crossing = crossing_of(cost);
  cost.latency = std::max(Seconds(0.0), found.law.time(size, crossing) - crossing) +
                 found.law.notify.time(size.nodes, size.tokens);
  cost.extrapolated = found.extrapolates(most_tokens, spec_.payload.hidden, grid_.ranks);
  cost.sigma = standard_error(found.fit, found.basis, cost.extrapolated);
}

// Of the link that takes longest, alone on the machine.
Seconds AllToAllLowering::crossing_of(const CollectiveCost& cost) const {
  double longest = 0.0;
  std::size_t l = 0;
  for (const LinkLoad& load : cost.loads) {
    while (links_[l].link != load.link) {
      ++l;
    }
    longest = std::max(longest, load.bytes / links_[l].bandwidth);
  }
  return Seconds(longest);
}

void AllToAllLowering::lower(const LayerDemand& demand, CollectiveCost& dispatch,
                             CollectiveCost& combine) {
  ensure(demand.layout != nullptr && demand.traffic != nullptr &&
             demand.traffic->ranks() == grid_.ranks && demand.layout->ranks() == grid_.ranks &&
             demand.traffic->pairs.grid == grid_,
         "a layer's demand covers the ranks");
  ensure(!entry_->needs_distinct || demand.traffic->distinct.per_rank.grid == grid_,
         "this all-to-all needs distinct counts");
  const TokenFlow& flow = entry_->copies(demand, scratch_);
  amounts_of_combine(flow);
  const auto copies = static_cast<double>(flow.copies());
  fill(Direction::dispatch, demand, copies, dispatch);
  fill(Direction::combine, demand, copies, combine);
}

}  // namespace moesim
