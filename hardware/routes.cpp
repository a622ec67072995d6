#include "hardware/routes.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "hardware/link_graph.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

std::size_t as_size(int value) { return static_cast<std::size_t>(value); }

std::vector<int> numbers(int first, int count) {
  std::vector<int> all(as_size(count));
  std::iota(all.begin(), all.end(), first);
  return all;
}

// Of `path`, the links in [first, first + count), counted from `first`.
std::vector<int> links_within(const std::vector<int>& path, int first, int count) {
  std::vector<int> found;
  for (const int link : path) {
    if (link >= first && link < first + count) {
      found.push_back(link - first);
    }
  }
  return found;
}

// The first time tells, all others agree.
void agree(std::vector<int>& known, std::vector<int> found, bool first_time) {
  if (first_time) {
    known = std::move(found);
    return;
  }
  ensure(known == found, "an end of a path does not depend on the other end");
}

}  // namespace

Routes::Routes(const LinkGraph& graph, int nodes, int devices_per_node, int links_per_node)
    : places_(devices_per_node),
      links_per_node_(links_per_node),
      near_out_(as_size(places_)),
      near_in_(as_size(places_)),
      far_out_(as_size(places_)),
      far_in_(as_size(places_)) {
  if (places_ > 1) {
    split_near(graph);
  }
  if (nodes > 1) {
    split_far(graph);
  }
}

// A path's first link is the sender's, the others are the receiver's.
void Routes::split_near(const LinkGraph& graph) {
  for (int from = 0; from < places_; ++from) {
    const auto found = graph.shortest_paths(from, numbers(0, places_));
    for (int to = 0; to < places_; ++to) {
      if (to == from) {
        continue;
      }
      const auto& paths = found[as_size(to)];
      ensure(paths.size() == 1 && !paths.front().empty(), "one way from peer to peer");
      const auto& path = paths.front();
      ensure(links_within(path, 0, links_per_node_) == path, "peers use links of their node");
      agree(near_out_[as_size(from)], {path.front()}, to == (from == 0 ? 1 : 0));
      agree(near_in_[as_size(to)], {path.begin() + 1, path.end()}, from == (to == 0 ? 1 : 0));
    }
  }
}

void Routes::split_far(const LinkGraph& graph) {
  const int fabric = std::numeric_limits<int>::max() - 2 * links_per_node_;
  way_of_pair_.resize(as_size(places_ * places_));
  for (int from = 0; from < places_; ++from) {
    const auto found = graph.shortest_paths(from, numbers(places_, places_));
    for (int to = 0; to < places_; ++to) {
      const auto& paths = found[as_size(to)];
      ensure(!paths.empty(), "every device can be reached");
      Ways ways;
      for (const auto& path : paths) {
        const bool first_way = ways.empty();
        agree(far_out_[as_size(from)], links_within(path, 0, links_per_node_),
              to == 0 && first_way);
        agree(far_in_[as_size(to)], links_within(path, links_per_node_, links_per_node_),
              from == 0 && first_way);
        ways.push_back(links_within(path, 2 * links_per_node_, fabric));
        for (int& link : ways.back()) {
          link += 2 * links_per_node_;
        }
      }
      auto known = std::ranges::find(ways_, ways);
      if (known == ways_.end()) {
        known = ways_.insert(ways_.end(), std::move(ways));
      }
      way_of_pair_[as_size(from * places_ + to)] = static_cast<int>(known - ways_.begin());
    }
  }
}

}  // namespace moesim
