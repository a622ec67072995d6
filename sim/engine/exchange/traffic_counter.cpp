#include <algorithm>
#include <numeric>

#include "sim/core/error.h"
#include "sim/engine/exchange/traffic.h"

namespace moesim {
namespace {

std::size_t as_size(std::int64_t value) { return static_cast<std::size_t>(value); }

void add_to_load(std::int64_t pairs, ExpertLoad& load) {
  load.pairs += pairs;
  load.touched_experts += static_cast<std::int64_t>(pairs > 0);
  load.tiles_64 += (pairs + 63) / 64;
  load.tiles_128 += (pairs + 127) / 128;
  load.busiest = std::max(load.busiest, pairs);
}

// Sums by place: every node's row of `width` counts is added to `sums`.
void add_nodes(std::span<const std::int32_t> row, std::span<std::int32_t> sums) {
  const std::size_t width = sums.size();
  std::int32_t* __restrict to = sums.data();
  for (std::size_t first = 0; first < row.size(); first += width) {
    const std::int32_t* __restrict from = row.data() + first;
    for (std::size_t i = 0; i < width; ++i) {
      to[i] += from[i];
    }
  }
}

void add_row(std::span<const std::int32_t> row, std::span<std::int64_t> sums) {
  const std::int32_t* __restrict from = row.data();
  std::int64_t* __restrict to = sums.data();
  for (std::size_t i = 0; i < row.size(); ++i) {
    to[i] += from[i];
  }
}

}  // namespace

void add_distinct(int source, std::span<const int> ranks, std::int64_t weight,
                  DistinctTraffic& distinct) {
  const RankGrid& grid = distinct.per_rank.grid;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    const int rank = ranks[i];
    const int node = grid.node_of(rank);
    distinct.rows[as_size(rank)] += weight;
    distinct.per_rank.add(source, rank, weight);
    if (node == grid.node_of(source)) {
      distinct.per_node.add_near(source, rank, weight);
      continue;
    }
    const int gateway = grid.rail_peer(source, node);
    distinct.per_node.add_near(gateway, rank, weight);
    if (std::ranges::none_of(ranks.first(i), [&](int r) { return grid.node_of(r) == node; })) {
      distinct.per_node.add_far(source, gateway, weight);
    }
  }
}

void TrafficCounter::begin(const ReplicaChoice& replicas, bool needs_distinct, LayerTraffic& out) {
  replicas_ = &replicas;
  out_ = &out;
  needs_distinct_ = needs_distinct;
  const RankGrid grid = replicas.grid();
  const auto ranks = as_size(grid.ranks);
  sum_.ranks = grid.ranks;
  sum_.experts = replicas.experts();
  sum_.count.assign(ranks * as_size(sum_.experts), 0);
  out.load.assign(ranks, {});
  out.pairs.reset(grid);
  out.distinct.rows.assign(needs_distinct ? ranks : 0, 0);
  if (needs_distinct) {
    out.distinct.per_rank.reset(grid);
    out.distinct.per_node.reset(grid);
  }
}

void TrafficCounter::add(const LayerPicks& picks, const TokenLayout& layout, std::int32_t weight) {
  count_experts(picks, layout, part_);
  add(part_, weight);
  if (needs_distinct_) {
    count_distinct(picks, layout, weight);
  }
}

void TrafficCounter::add(const ExpertCounts& counts, std::int32_t weight) {
  ensure(counts.ranks == sum_.ranks && counts.experts == sum_.experts,
         "counts and placement describe the same ranks and experts");
  for (std::size_t i = 0; i < sum_.count.size(); ++i) {
    sum_.count[i] += weight * counts.count[i];
  }
}

// The rank that serves each (source, expert), by source.
void TrafficCounter::find_serving(int experts) {
  const auto ranks = as_size(sum_.ranks);
  const auto width = as_size(experts);
  slot_of_source_.resize(ranks);
  serving_.resize(ranks * width);
  for (std::size_t e = 0; e < width; ++e) {
    replicas_->slots_of_sources(static_cast<int>(e), slot_of_source_);
    for (std::size_t s = 0; s < ranks; ++s) {
      serving_[s * width + e] = replicas_->rank_of_slot(slot_of_source_[s]);
    }
  }
}

// Token by token: a rank or node counts once per token, and remembers the last token that it was
// counted for.
void TrafficCounter::count_distinct(const LayerPicks& picks, const TokenLayout& layout,
                                    std::int32_t weight) {
  const RankGrid& grid = out_->pairs.grid;
  const auto experts = as_size(picks.experts);
  find_serving(picks.experts);
  last_token_of_rank_.assign(as_size(grid.ranks), -1);
  last_token_of_node_.assign(as_size(grid.nodes()), -1);
  to_rank_.resize(as_size(grid.ranks));
  to_node_.resize(as_size(grid.nodes()));
  const auto k = as_size(picks.top_k);
  const std::uint16_t* ids = picks.ids.data();
  std::int64_t token = 0;
  for (int source = 0; source < grid.ranks; ++source) {
    std::ranges::fill(to_rank_, 0);
    std::ranges::fill(to_node_, 0);
    const std::int32_t* server = &serving_[as_size(source) * experts];
    for (const std::int64_t end = layout.first[as_size(source) + 1]; token < end;
         ++token, ids += k) {
      for (std::size_t i = 0; i < k; ++i) {
        if (ids[i] >= picks.experts) {
          continue;  // a zero-cost expert
        }
        const auto rank = as_size(server[ids[i]]);
        to_rank_[rank] += static_cast<std::int32_t>(last_token_of_rank_[rank] != token);
        last_token_of_rank_[rank] = token;
        const auto node = as_size(replicas_->node_of(server[ids[i]]));
        to_node_[node] += static_cast<std::int32_t>(last_token_of_node_[node] != token);
        last_token_of_node_[node] = token;
      }
    }
    spread_distinct(source, weight);
  }
}

// What one source's tokens mean for everybody: to_rank_ and to_node_ of them reach each rank, node.
void TrafficCounter::spread_distinct(int source, std::int32_t weight) {
  DistinctTraffic& distinct = out_->distinct;
  TokenFlow& per_rank = distinct.per_rank;
  TokenFlow& per_node = distinct.per_node;
  const RankGrid& grid = per_rank.grid;
  const auto width = as_size(grid.ranks_per_node);
  const auto home = as_size(grid.node_of(source));
  const auto place = as_size(grid.place_of(source));
  const std::int32_t* __restrict reached = to_rank_.data();
  std::int64_t* __restrict rows = distinct.rows.data();
  std::int64_t* __restrict far_in = per_rank.far_in.data();
  std::int64_t* __restrict passed_in = per_node.near_in.data();
  std::int64_t* __restrict between = &per_rank.between[place * width];
  std::int64_t far_tokens = 0;
  std::int64_t far_copies = 0;
  for (std::size_t node = 0, first = 0; first < to_rank_.size(); ++node, first += width) {
    const std::int64_t tokens = std::int64_t{weight} * to_node_[node];
    if (tokens == 0) {
      continue;
    }
    const std::size_t gateway = first + place;
    std::int64_t all = 0;
    for (std::size_t i = 0; i < width; ++i) {
      const std::int64_t copies = std::int64_t{weight} * reached[first + i];
      rows[first + i] += copies;
      passed_in[first + i] += copies;
      all += copies;
      if (node != home) {
        far_in[first + i] += copies;
        between[i] += copies;
      }
    }
    const std::int64_t kept = std::int64_t{weight} * reached[gateway];
    passed_in[gateway] -= kept;
    per_node.near_out[gateway] += all - kept;
    if (node != home) {
      far_copies += all;
      far_tokens += tokens;
      per_node.far_in[gateway] += tokens;
    } else {
      per_rank.near_out[as_size(source)] += all - kept;
      for (std::size_t i = 0; i < width; ++i) {
        per_rank.near_in[first + i] += i == place ? 0 : std::int64_t{weight} * reached[first + i];
      }
    }
  }
  per_rank.far_out[as_size(source)] += far_copies;
  per_node.far_out[as_size(source)] += far_tokens;
  per_node.between[place * width + place] += far_tokens;
}

// All sources use one slot.
void TrafficCounter::place_on_one(int slot, std::span<const std::int32_t> row) {
  TokenFlow& flow = out_->pairs;
  const auto width = as_size(flow.grid.ranks_per_node);
  const int rank = replicas_->rank_of_slot(slot);
  const auto r = as_size(rank);
  const auto node = row.subspan(as_size(flow.grid.node_of(rank)) * width, width);
  const auto place = as_size(flow.grid.place_of(rank));

  std::ranges::fill(at_place_, 0);
  add_nodes(row, at_place_);
  const auto all = std::accumulate(at_place_.begin(), at_place_.end(), std::int64_t{0});
  const auto near = std::accumulate(node.begin(), node.end(), std::int64_t{0});
  slot_pairs_[as_size(slot)] += all;
  flow.near_in[r] += near - row[r];
  flow.far_in[r] += all - near;
  own_[r] += row[r];
  std::int64_t* near_out = &flow.near_out[r - place];
  for (std::size_t i = 0; i < width; ++i) {
    flow.between[i * width + place] += at_place_[i] - node[i];
    near_out[i] += i == place ? 0 : node[i];
  }
}

void TrafficCounter::place_on_many(int expert, std::span<const std::int32_t> row) {
  TokenFlow& flow = out_->pairs;
  replicas_->slots_of_sources(expert, slot_of_source_);
  const int width = flow.grid.ranks_per_node;
  for (int first = 0, node = 0; first < flow.grid.ranks; first += width, ++node) {
    for (int place = 0; place < width; ++place) {
      const int source = first + place;
      const std::int64_t pairs = row[as_size(source)];
      const int slot = slot_of_source_[as_size(source)];
      const int rank = replicas_->rank_of_slot(slot);
      const auto r = as_size(rank);
      const int to_node = replicas_->node_of(rank);
      slot_pairs_[as_size(slot)] += pairs;
      if (to_node != node) {
        flow.far_in[r] += pairs;
        flow.between[as_size(place * width + rank - to_node * width)] += pairs;
      } else if (rank != source) {
        flow.near_in[r] += pairs;
        flow.near_out[as_size(source)] += pairs;
      } else {
        own_[r] += pairs;
      }
    }
  }
}

void TrafficCounter::finish() {
  TokenFlow& flow = out_->pairs;
  const auto ranks = as_size(sum_.ranks);
  slot_pairs_.assign(as_size(replicas_->slots()), 0);
  slot_of_source_.resize(ranks);
  sent_.assign(ranks, 0);
  own_.assign(ranks, 0);
  at_place_.resize(as_size(flow.grid.ranks_per_node));
  for (int e = 0; e < sum_.experts; ++e) {
    const auto row = std::span(sum_.count).subspan(as_size(e) * ranks, ranks);
    const auto holders = replicas_->replicas(e);
    add_row(row, sent_);
    if (holders.size() == 1) {
      place_on_one(holders.front(), row);
    } else {
      place_on_many(e, row);
    }
  }
  for (std::size_t r = 0; r < ranks; ++r) {  // what is neither its own nor near goes far
    flow.far_out[r] = sent_[r] - own_[r] - flow.near_out[r];
  }
  for (int slot = 0; slot < replicas_->slots(); ++slot) {
    add_to_load(slot_pairs_[as_size(slot)], out_->load[as_size(replicas_->rank_of_slot(slot))]);
  }
}

}  // namespace moesim
