// Which links a byte crosses, without a list of links per pair of devices: nodes are alike, so a
// table per place in a node tells them all. Derived once from the cluster's graph.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace moesim {

class LinkGraph;

class Routes {
 public:
  // Between two places of different nodes: as many ways of equal cost, each a list of link ids of
  // the fabric. A byte takes each of them with the same probability.
  using Ways = std::vector<std::vector<int>>;

  Routes() = default;
  // Device d is vertex d of the graph; the links of node n are [n * links_per_node, (n + 1) *
  // links_per_node), those of the fabric follow. Throws InvariantError unless paths consist of
  // links that only the sender decides, links that only the receiver decides, and, between nodes,
  // ways through the fabric that depend on the two places alone.
  Routes(const LinkGraph& graph, int nodes, int devices_per_node, int links_per_node);

  // Links of a node, counted from its first, that bytes from or to the device at `place` cross: to
  // or from its own node (near), to or from others (far).
  [[nodiscard]] std::span<const int> near_out(int place) const { return at(near_out_, place); }
  [[nodiscard]] std::span<const int> near_in(int place) const { return at(near_in_, place); }
  [[nodiscard]] std::span<const int> far_out(int place) const { return at(far_out_, place); }
  [[nodiscard]] std::span<const int> far_in(int place) const { return at(far_in_, place); }

  // Pairs of places that share their ways share an index into ways().
  [[nodiscard]] int ways_between(int from_place, int to_place) const {
    return way_of_pair_[static_cast<std::size_t>(from_place) * static_cast<std::size_t>(places_) +
                        static_cast<std::size_t>(to_place)];
  }
  [[nodiscard]] const std::vector<Ways>& ways() const { return ways_; }

  // Adds what `amount` from one device to another puts on links: add(link id, part of amount).
  template <class Add>
  void spread(int from, int to, double amount, Add add) const {
    const int from_node = from / places_;
    const int to_node = to / places_;
    const bool near = from_node == to_node;
    if (from == to) {
      return;
    }
    for (const int link : near ? near_out(from % places_) : far_out(from % places_)) {
      add(from_node * links_per_node_ + link, amount);
    }
    for (const int link : near ? near_in(to % places_) : far_in(to % places_)) {
      add(to_node * links_per_node_ + link, amount);
    }
    if (near) {
      return;
    }
    const Ways& ways = ways_[static_cast<std::size_t>(ways_between(from % places_, to % places_))];
    for (const auto& way : ways) {
      for (const int link : way) {
        add(link, amount / static_cast<double>(ways.size()));
      }
    }
  }

 private:
  using Table = std::vector<std::vector<int>>;  // [place]
  static std::span<const int> at(const Table& table, int place) {
    return table[static_cast<std::size_t>(place)];
  }
  void split_near(const LinkGraph& graph);
  void split_far(const LinkGraph& graph);

  int places_ = 1;
  int links_per_node_ = 0;
  Table near_out_;
  Table near_in_;
  Table far_out_;
  Table far_in_;
  std::vector<int> way_of_pair_;  // [from place * places + to place]
  std::vector<Ways> ways_;
};

}  // namespace moesim
