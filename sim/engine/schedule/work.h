// What a step has to do, without when: nodes that every rank of a stage runs alike, and the data
// that they wait for. In which order and on which streams is a schedule's affair (schedule.h), what
// a node costs is an expansion's (lowering/graph_builder.h).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace moesim {

enum class WorkKind : std::uint8_t {
  embedding,
  embedding_sum,   // all-reduce of the vocabulary's slices
  attention,       // whole, or what comes before the attention kernel if there is a core as well
  attention_core,  // the attention kernel and what follows
  attention_sum,   // all-reduce over a tensor-parallel group
  dense,           // dense FFN
  dense_sum,       // all-reduce
  router,          // logits and selection
  shared,          // shared experts
  free_experts,    // experts that cost nothing but the addition
  latent_in,       // into the experts' latent space
  dispatch,        // tokens to experts
  experts,         // routed experts
  combine,         // results home
  expert_sum,      // all-reduce or all-gather over a tensor-parallel group
  latent_out,      // out of the latent space
  head,            // final norm, logits, sampling
  context_gather,  // every rank learns the new tokens (resident tokens only)
  logits_gather,   // all-gather of the vocabulary's slices
  send,            // rows to other ranks, activations or gradients to the next stage
  receive,         // what other ranks keep for this one, added up by who wants it
  weight_fetch,    // expert weights from a lower tier
  backward,        // of a stage's layers
  unit_gather,     // rows that slices of an expert received apart: all-gather in their unit
  unit_scatter,    // their partial sums: reduce-scatter in the unit
};
std::string_view name_of(WorkKind kind);

// A collective is one task of a whole group of ranks; all else is a rank's own.
bool is_collective(WorkKind kind);

// Which ranks of the node before must be done.
enum class EdgeScope : std::uint8_t {
  rank,   // the same rank (of a collective: the rank's group)
  group,  // all ranks of this rank's group: data that others send without a collective
};

struct WorkEdge {
  std::int32_t node = 0;
  EdgeScope scope = EdgeScope::rank;
};

struct WorkNode {
  WorkKind kind = WorkKind::attention;
  std::int32_t layer = 0;     // position in the model
  std::int32_t batch = 0;     // micro-batch
  std::int32_t stage = 0;     // pipeline stage whose ranks run it
  std::int32_t entry = 0;     // FFN entry of the layer's block
  std::int32_t decision = 0;  // routing decisions of a token before this node; experts: this one
  std::int32_t part = 0;      // of what is cut into parts: 0, 1, ...
};

// A graph of nodes. Edges point back, so ids are a topological order.
class Work {
 public:
  // Throws InvariantError for an edge to a node that does not exist yet. Repeated edges are kept
  // once, with the wider scope.
  std::int32_t add(const WorkNode& node, std::span<const WorkEdge> after);

  [[nodiscard]] std::span<const WorkNode> nodes() const { return nodes_; }
  [[nodiscard]] const WorkNode& node(std::int32_t id) const {
    return nodes_[static_cast<std::size_t>(id)];
  }
  [[nodiscard]] std::span<const WorkEdge> after(std::int32_t id) const {
    const auto i = static_cast<std::size_t>(id);
    return std::span(edges_).subspan(first_edge_[i], first_edge_[i + 1] - first_edge_[i]);
  }

 private:
  std::vector<WorkNode> nodes_;
  std::vector<WorkEdge> edges_;
  std::vector<std::size_t> first_edge_{0};
};

}  // namespace moesim
