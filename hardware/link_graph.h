// Shortest paths over directed links, by Boost.Graph, which stays out of this header.
#pragma once

#include <memory>
#include <vector>

namespace moesim {

// Vertices are numbered in the order in which they are added.
class LinkGraph {
 public:
  LinkGraph();
  ~LinkGraph();
  LinkGraph(LinkGraph&&) noexcept;
  LinkGraph& operator=(LinkGraph&&) noexcept;

  // Paths start and end at terminals, but never pass through one.
  int add_terminal();
  int add_switch();
  // One hop; `links` are the ids that a byte occupies on it, none if the hop costs nothing.
  void add_hop(int from, int to, std::vector<int> links);

  // For every vertex, the links of all paths of fewest hops. None for what cannot be reached.
  [[nodiscard]] std::vector<std::vector<std::vector<int>>> shortest_paths(
      int from, const std::vector<int>& to) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace moesim
