#include "sim/engine/exchange/expected_distinct.h"

#include <cmath>

namespace moesim {
namespace {

std::size_t as_size(std::int64_t value) { return static_cast<std::size_t>(value); }

// Pairs and tokens that reached a destination.
struct Reached {
  std::vector<double> pairs;
  std::vector<double> tokens;
  std::vector<std::int64_t> last;  // token that it was counted for

  explicit Reached(std::size_t destinations)
      : pairs(destinations), tokens(destinations), last(destinations, -1) {}

  void add(std::size_t destination, std::int64_t token) {
    pairs[destination] += 1.0;
    tokens[destination] += last[destination] == token ? 0.0 : 1.0;
    last[destination] = token;
  }

  // Where too few were seen to tell: as everywhere.
  [[nodiscard]] std::vector<double> shares() const {
    double all_pairs = 0.0;
    double all_tokens = 0.0;
    for (std::size_t d = 0; d < pairs.size(); ++d) {
      all_pairs += pairs[d];
      all_tokens += tokens[d];
    }
    const double mean = all_pairs > 0.0 ? all_tokens / all_pairs : 1.0;
    std::vector<double> result(pairs.size(), mean);
    for (std::size_t d = 0; d < pairs.size(); ++d) {
      if (pairs[d] > 0.0) {
        result[d] = tokens[d] / pairs[d];
      }
    }
    return result;
  }
};

// A TokenFlow in fractions.
struct Amounts {
  std::vector<double> near_out, near_in, far_out, far_in, between;

  explicit Amounts(const RankGrid& grid)
      : near_out(as_size(grid.ranks)),
        near_in(near_out),
        far_out(near_out),
        far_in(near_out),
        between(as_size(std::int64_t{grid.ranks_per_node} * grid.ranks_per_node)) {}

  void round_into(TokenFlow& flow) const {
    const auto all = [](const std::vector<double>& from, std::vector<std::int64_t>& to) {
      for (std::size_t i = 0; i < from.size(); ++i) {
        to[i] = std::llround(from[i]);
      }
    };
    all(near_out, flow.near_out);
    all(near_in, flow.near_in);
    all(far_out, flow.far_out);
    all(far_in, flow.far_in);
    all(between, flow.between);
  }
};

}  // namespace

DistinctShares distinct_shares(const ReferencePicks& reference, const ReplicaChoice& replicas) {
  const RankGrid grid = replicas.grid();
  Reached own(as_size(grid.ranks));
  Reached near(as_size(grid.ranks));
  Reached far(as_size(grid.ranks));
  Reached node(as_size(grid.nodes()));
  const auto k = as_size(reference.top_k);
  std::int64_t token = 0;
  for (std::size_t first = 0; first + k <= reference.ids.size(); first += k, ++token) {
    const int source = static_cast<int>(token % grid.ranks);
    for (const std::uint16_t id : reference.ids.subspan(first, k)) {
      if (id >= reference.experts) {
        continue;
      }
      const int rank = replicas.rank_of_slot(replicas.slot(source, id));
      if (replicas.node_of(rank) == replicas.node_of(source)) {
        (rank == source ? own : near).add(as_size(rank), token);
      } else {
        far.add(as_size(rank), token);
        node.add(as_size(replicas.node_of(rank)), token);
      }
    }
  }
  return {own.shares(), near.shares(), far.shares(), node.shares()};
}

void expect_distinct(const ExpertCounts& counts, const ReplicaChoice& replicas,
                     const DistinctShares& shares, DistinctTraffic& distinct) {
  const RankGrid grid = replicas.grid();
  const auto ranks = as_size(grid.ranks);
  const auto places = as_size(grid.ranks_per_node);
  Amounts per_rank(grid);
  Amounts per_node(grid);
  std::vector<double> rows(ranks);
  std::vector<std::int32_t> slot_of_source(ranks);
  for (int e = 0; e < replicas.experts(); ++e) {
    replicas.slots_of_sources(e, slot_of_source);
    const std::int32_t* row = &counts.count[as_size(e) * ranks];
    for (int source = 0; source < grid.ranks; ++source) {
      const auto s = as_size(source);
      if (row[s] == 0) {
        continue;
      }
      const int rank = replicas.rank_of_slot(slot_of_source[s]);
      const auto r = as_size(rank);
      const int node = replicas.node_of(rank);
      const bool is_near = node == replicas.node_of(source);
      const std::vector<double>& share = rank == source ? shares.own
                                         : is_near      ? shares.near
                                                        : shares.far;
      const double tokens = row[s] * share[r];
      rows[r] += tokens;
      if (is_near) {
        if (rank != source) {
          per_rank.near_out[s] += tokens;
          per_rank.near_in[r] += tokens;
          per_node.near_out[s] += tokens;
          per_node.near_in[r] += tokens;
        }
        continue;
      }
      const std::size_t first = as_size(node) * places;
      const std::size_t place = as_size(grid.place_of(source));
      const std::size_t gateway = first + place;
      per_rank.far_out[s] += tokens;
      per_rank.far_in[r] += tokens;
      per_rank.between[place * places + r - first] += tokens;
      if (gateway != r) {
        per_node.near_out[gateway] += tokens;
        per_node.near_in[r] += tokens;
      }
      const double crossing = row[s] * shares.node[as_size(node)];
      per_node.far_out[s] += crossing;
      per_node.far_in[gateway] += crossing;
      per_node.between[place * places + place] += crossing;
    }
  }
  distinct.rows.resize(ranks);
  for (std::size_t r = 0; r < ranks; ++r) {
    distinct.rows[r] = std::llround(rows[r]);
  }
  distinct.per_rank.reset(grid);
  distinct.per_node.reset(grid);
  per_rank.round_into(distinct.per_rank);
  per_node.round_into(distinct.per_node);
}

}  // namespace moesim
