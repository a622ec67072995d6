// The traffic side of the search state.
#include <algorithm>
#include <numeric>

#include "placement/heuristics/search_state.h"
#include "sim/core/index.h"

namespace moesim {
namespace {

// [a * items + b]: tokens of a layer that have both.
std::vector<float> shared_tokens(const std::vector<std::uint16_t>& ids, std::size_t top_k,
                                 std::size_t items) {
  std::vector<float> shared(items * items, 0.0F);
  for (std::size_t t = 0; t < ids.size(); t += top_k) {
    for (std::size_t i = t; i < t + top_k; ++i) {
      for (std::size_t j = t; j < t + top_k; ++j) {
        shared[ids[i] * items + ids[j]] += ids[i] != ids[j] ? 1.0F : 0.0F;
      }
    }
  }
  return shared;
}

}  // namespace

void SearchState::prepare_affinity() {
  const std::size_t experts = at(problem_.experts);
  device_affinity_.assign(at(problem_.layers) * experts * devices_, 0.0);
  node_affinity_.assign(at(problem_.layers) * experts * nodes_, 0.0);
  for (const std::vector<double>& matrix : problem_.transitions) {
    std::vector<double> turned(matrix.size());
    for (std::size_t a = 0; a < experts; ++a) {
      for (std::size_t b = 0; b < experts; ++b) {
        turned[b * experts + a] = matrix[a * experts + b];
      }
    }
    transposed_.push_back(std::move(turned));
  }
  for (int l = 0; l < problem_.layers; ++l) {
    for (int i = 0; i < problem_.experts; ++i) {
      move_affinity(l, i, -1, device(l, i));
    }
  }
}

// Item `item` of `layer` left one device for another: what other items' pairs find where.
void SearchState::move_affinity(int layer, int item, int from, int to) {
  const std::size_t experts = at(problem_.experts);
  if (problem_.comm == CommModel::dispatch) {
    const float* shared = shared_tokens_[at(layer)].data() + at(item) * experts;
    for (std::size_t j = 0; j < experts; ++j) {
      const std::size_t row = at(layer) * experts + j;
      if (from >= 0) {
        device_affinity_[row * devices_ + at(from)] -= double{shared[j]};
        node_affinity_[row * nodes_ + at(problem_.node_of(from))] -= double{shared[j]};
      }
      device_affinity_[row * devices_ + at(to)] += double{shared[j]};
      node_affinity_[row * nodes_ + at(problem_.node_of(to))] += double{shared[j]};
    }
    return;
  }
  const auto update = [&](int neighbour, const double* pairs) {
    for (std::size_t j = 0; j < experts; ++j) {
      const std::size_t row = at(neighbour) * experts + j;
      if (from >= 0) {
        device_affinity_[row * devices_ + at(from)] -= pairs[j];
        node_affinity_[row * nodes_ + at(problem_.node_of(from))] -= pairs[j];
      }
      device_affinity_[row * devices_ + at(to)] += pairs[j];
      node_affinity_[row * nodes_ + at(problem_.node_of(to))] += pairs[j];
    }
  };
  if (layer > 0) {
    update(layer - 1, transposed_[at(layer) - 1].data() + at(item) * experts);
  }
  if (layer + 1 < problem_.layers) {
    update(layer + 1, problem_.transitions[at(layer)].data() + at(item) * experts);
  }
}

void SearchState::prepare_tokens() {
  const std::size_t experts = at(problem_.experts);
  first_token_.assign(at(problem_.layers) * experts + 1, 0);
  for (std::size_t l = 0; l < at(problem_.layers); ++l) {
    for (const std::uint16_t id : problem_.token_sets[l]) {
      ++first_token_[l * experts + id + 1];
    }
  }
  std::partial_sum(first_token_.begin(), first_token_.end(), first_token_.begin());
  tokens_.resize(first_token_.back());
  std::vector<std::uint32_t> next(first_token_.begin(), first_token_.end() - 1);
  for (std::size_t l = 0; l < at(problem_.layers); ++l) {
    for (std::size_t i = 0; i < problem_.token_sets[l].size(); ++i) {
      tokens_[next[l * experts + problem_.token_sets[l][i]]++] =
          static_cast<std::uint32_t>(i / at(problem_.top_k));
    }
  }
  node_affinity_.assign(at(problem_.layers) * experts * nodes_, 0.0);
  device_affinity_.assign(at(problem_.layers) * experts * devices_, 0.0);
  for (const std::vector<std::uint16_t>& ids : problem_.token_sets) {
    shared_tokens_.push_back(shared_tokens(ids, at(problem_.top_k), experts));
  }
  for (int l = 0; l < problem_.layers; ++l) {
    for (int i = 0; i < problem_.experts; ++i) {
      move_affinity(l, i, -1, device(l, i));
    }
  }
}

// A token with n items on a device has n (n - 1) / 2 pairs there and saves n - 1 visits: 2 / n per
// pair, with n mostly 2 or 3.
double SearchState::estimated_delta(int layer, int a, int b) const {
  constexpr double visits_per_pair = 0.7;
  const PlacementProblem& p = problem_;
  const double both = a < p.experts && b < p.experts
                          ? 2.0 * double{shared_tokens_[at(layer)][at(a) * at(p.experts) + at(b)]}
                          : 0.0;
  // Pairs that share a place, after minus before, when a goes from `from` to `to` and b back.
  const auto more_pairs = [&](const std::vector<double>& affinity, std::size_t places, int from,
                              int to) {
    double delta = -both;
    if (a < p.experts) {
      const double* row = &affinity[affinity_row(layer, a) * places];
      delta += row[to] - row[from];
    }
    if (b < p.experts) {
      const double* row = &affinity[affinity_row(layer, b) * places];
      delta += row[from] - row[to];
    }
    return delta;
  };
  const int from = device(layer, a);
  const int to = device(layer, b);
  double saved = (1.0 - 1.0 / p.devices_per_node) * p.c_intra *
                 more_pairs(device_affinity_, devices_, from, to);
  if (p.node_of(from) != p.node_of(to)) {
    saved += (1.0 - 1.0 / p.nodes()) * p.c_inter *
             more_pairs(node_affinity_, nodes_, p.node_of(from), p.node_of(to));
  }
  return -p.beta * visits_per_pair * saved;
}

double SearchState::traffic_at(int layer, int item, int device) const {
  if (problem_.comm != CommModel::interlayer || item >= problem_.experts) {
    return 0.0;
  }
  const PlacementProblem& p = problem_;
  const int sides = (layer > 0 ? 1 : 0) + (layer + 1 < p.layers ? 1 : 0);
  const std::size_t row = affinity_row(layer, item);
  // All pairs of the item, as sums over nodes: exact for expanded replicas too.
  double pairs = 0.0;
  if (sides > 0) {
    const double* in_node = &node_affinity_[row * nodes_];
    pairs = std::accumulate(in_node, in_node + nodes_, 0.0);
  }
  return p.beta * (p.c_inter * pairs -
                   (p.c_inter - p.c_intra) * node_affinity_[row * nodes_ + at(p.node_of(device))] -
                   p.c_intra * device_affinity_[row * devices_ + at(device)]);
}

double SearchState::traffic_delta(int layer, int a, int b) const {
  if (problem_.comm == CommModel::none) {
    return 0.0;
  }
  if (problem_.comm == CommModel::dispatch) {
    return dispatch_delta(layer, a, b);
  }
  const PlacementProblem& p = problem_;
  const int from = device(layer, a);
  const int to = device(layer, b);
  const std::size_t from_node = at(p.node_of(from));
  const std::size_t to_node = at(p.node_of(to));
  double kept = 0.0;  // gain in retained pairs, weighted
  if (a < p.experts) {
    const std::size_t row = affinity_row(layer, a);
    kept += p.c_intra * (device_affinity_[row * devices_ + at(to)] -
                         device_affinity_[row * devices_ + at(from)]) +
            (p.c_inter - p.c_intra) *
                (node_affinity_[row * nodes_ + to_node] - node_affinity_[row * nodes_ + from_node]);
  }
  if (b < p.experts) {
    const std::size_t row = affinity_row(layer, b);
    kept += p.c_intra * (device_affinity_[row * devices_ + at(from)] -
                         device_affinity_[row * devices_ + at(to)]) +
            (p.c_inter - p.c_intra) *
                (node_affinity_[row * nodes_ + from_node] - node_affinity_[row * nodes_ + to_node]);
  }
  return -p.beta * kept;
}

// What a token's other items find on the device that one of them leaves and on the one it joins.
struct SearchState::TokenPlaces {
  bool has_other = false;  // the item that goes the opposite way: the token keeps its devices
  bool left = false;
  bool joined = false;
  bool left_node = false;
  bool joined_node = false;
};

SearchState::TokenPlaces SearchState::places_of(int layer, std::span<const std::uint16_t> token,
                                                const Move& move) const {
  TokenPlaces found;
  const int from_node = problem_.node_of(move.from);
  const int to_node = problem_.node_of(move.to);
  for (const std::uint16_t i : token) {
    if (i == move.item) {
      continue;
    }
    const int g = device_[index(layer, i)];
    const int node = problem_.node_of(g);
    found.has_other = found.has_other || i == move.other;
    found.left = found.left || g == move.from;
    found.joined = found.joined || g == move.to;
    found.left_node = found.left_node || node == from_node;
    found.joined_node = found.joined_node || node == to_node;
  }
  return found;
}

double SearchState::visits_delta(int layer, const Move& move) const {
  const PlacementProblem& p = problem_;
  if (move.item >= p.experts) {
    return 0.0;
  }
  const std::span<const std::uint16_t> ids(p.token_sets[at(layer)]);
  const bool other_node = p.node_of(move.from) != p.node_of(move.to);
  const std::size_t row = affinity_row(layer, move.item);
  int devices = 0;
  int nodes = 0;
  for (std::uint32_t t = first_token_[row]; t < first_token_[row + 1]; ++t) {
    const TokenPlaces found =
        places_of(layer, ids.subspan(std::size_t{tokens_[t]} * at(p.top_k), at(p.top_k)), move);
    if (!found.has_other) {
      devices += (found.joined ? 0 : 1) - (found.left ? 0 : 1);
      nodes += other_node ? (found.joined_node ? 0 : 1) - (found.left_node ? 0 : 1) : 0;
    }
  }
  return p.beta * (devices * (1.0 - 1.0 / p.devices_per_node) * p.c_intra +
                   nodes * (1.0 - 1.0 / p.nodes()) * p.c_inter);
}

double SearchState::dispatch_delta(int layer, int a, int b) const {
  const int from = device(layer, a);
  const int to = device(layer, b);
  return visits_delta(layer, {.item = a, .other = b, .from = from, .to = to}) +
         visits_delta(layer, {.item = b, .other = a, .from = to, .to = from});
}

}  // namespace moesim
