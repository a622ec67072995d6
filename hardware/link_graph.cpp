#include "hardware/link_graph.h"

#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/breadth_first_search.hpp>
#include <boost/graph/filtered_graph.hpp>
#include <ranges>
#include <utility>

namespace moesim {
namespace {

struct Vertex {
  bool terminal = false;
};
struct Hop {
  std::vector<int> links;
};
using Graph = boost::adjacency_list<boost::vecS, boost::vecS, boost::directedS, Vertex, Hop>;
using Edge = Graph::edge_descriptor;
using VertexId = Graph::vertex_descriptor;

// Hides the ways out of every terminal but the source: no transit.
struct NoTransit {
  const Graph* graph = nullptr;
  VertexId source = 0;

  bool operator()(const Edge& edge) const {
    const VertexId from = boost::source(edge, *graph);
    return from == source || !(*graph)[from].terminal;
  }
};

// The directed acyclic graph of all shortest paths: hops from the source, and every hop that
// arrives on one of them.
struct ShortestPaths {
  std::vector<int> hops;
  std::vector<std::vector<Edge>> arriving;
};

class RecordShortest : public boost::default_bfs_visitor {
 public:
  explicit RecordShortest(ShortestPaths& result) : result_(&result) {}

  template <class G>
  void tree_edge(const Edge& edge, const G& graph) const {
    const auto to = boost::target(edge, graph);
    result_->hops[to] = result_->hops[boost::source(edge, graph)] + 1;
    result_->arriving[to].push_back(edge);
  }
  template <class G>
  void non_tree_edge(const Edge& edge, const G& graph) const {
    const auto to = boost::target(edge, graph);
    if (result_->hops[to] == result_->hops[boost::source(edge, graph)] + 1) {
      result_->arriving[to].push_back(edge);
    }
  }

 private:
  ShortestPaths* result_;
};

// All ways back to the source; a handful of hops deep.
void walk_back(const Graph& graph, const ShortestPaths& shortest, VertexId at,
               std::vector<Edge>& trail, std::vector<std::vector<int>>& paths) {
  if (shortest.hops[at] == 0) {
    std::vector<int> links;
    for (const Edge& edge : std::views::reverse(trail)) {
      const auto& hop = graph[edge].links;
      links.insert(links.end(), hop.begin(), hop.end());
    }
    paths.push_back(std::move(links));
    return;
  }
  for (const Edge& edge : shortest.arriving[at]) {
    trail.push_back(edge);
    walk_back(graph, shortest, boost::source(edge, graph), trail, paths);
    trail.pop_back();
  }
}

}  // namespace

struct LinkGraph::Impl {
  Graph graph;
};

LinkGraph::LinkGraph() : impl_(std::make_unique<Impl>()) {}
LinkGraph::~LinkGraph() = default;
LinkGraph::LinkGraph(LinkGraph&&) noexcept = default;
LinkGraph& LinkGraph::operator=(LinkGraph&&) noexcept = default;

int LinkGraph::add_terminal() {
  return static_cast<int>(boost::add_vertex(Vertex{.terminal = true}, impl_->graph));
}

int LinkGraph::add_switch() {
  return static_cast<int>(boost::add_vertex(Vertex{.terminal = false}, impl_->graph));
}

void LinkGraph::add_hop(int from, int to, std::vector<int> links) {
  boost::add_edge(static_cast<VertexId>(from), static_cast<VertexId>(to), Hop{std::move(links)},
                  impl_->graph);
}

std::vector<std::vector<std::vector<int>>> LinkGraph::shortest_paths(
    int from, const std::vector<int>& to) const {
  const Graph& graph = impl_->graph;
  const auto source = static_cast<VertexId>(from);
  ShortestPaths shortest;
  shortest.hops.assign(boost::num_vertices(graph), -1);
  shortest.arriving.resize(boost::num_vertices(graph));
  shortest.hops[source] = 0;
  const boost::filtered_graph allowed(graph, NoTransit{&graph, source});
  std::vector<boost::default_color_type> colors(boost::num_vertices(graph));
  boost::breadth_first_search(allowed, source,
                              boost::visitor(RecordShortest(shortest))
                                  .color_map(boost::make_iterator_property_map(
                                      colors.begin(), boost::get(boost::vertex_index, graph))));

  std::vector<std::vector<std::vector<int>>> found;
  for (const int target : to) {
    auto& paths = found.emplace_back();
    const auto end = static_cast<VertexId>(target);
    if (shortest.hops[end] >= 0) {
      std::vector<Edge> trail;
      walk_back(graph, shortest, end, trail, paths);
    }
  }
  return found;
}

}  // namespace moesim
