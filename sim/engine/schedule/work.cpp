#include "sim/engine/schedule/work.h"

#include <algorithm>
#include <array>

#include "sim/core/error.h"

namespace moesim {
namespace {

struct KindRow {
  std::string_view name;
  bool collective = false;
};

// In the order of WorkKind.
constexpr std::array kinds{
    KindRow{"embedding"},
    KindRow{"embedding_sum", true},
    KindRow{"attention"},
    KindRow{"attention_core"},
    KindRow{"attention_sum", true},
    KindRow{"dense"},
    KindRow{"dense_sum", true},
    KindRow{"router"},
    KindRow{"shared"},
    KindRow{"free_experts"},
    KindRow{"latent_in"},
    KindRow{"dispatch", true},
    KindRow{"experts"},
    KindRow{"combine", true},
    KindRow{"expert_sum", true},
    KindRow{"latent_out"},
    KindRow{"head"},
    KindRow{"context_gather", true},
    KindRow{"logits_gather", true},
    KindRow{"send"},
    KindRow{"receive"},
    KindRow{"weight_fetch"},
    KindRow{"backward"},
    KindRow{"unit_gather", true},
    KindRow{"unit_scatter", true},
};
static_assert(kinds.size() == static_cast<std::size_t>(WorkKind::unit_scatter) + 1);

}  // namespace

std::string_view name_of(WorkKind kind) { return kinds.at(static_cast<std::size_t>(kind)).name; }

bool is_collective(WorkKind kind) { return kinds.at(static_cast<std::size_t>(kind)).collective; }

std::int32_t Work::add(const WorkNode& node, std::span<const WorkEdge> after) {
  const auto id = static_cast<std::int32_t>(nodes_.size());
  const std::size_t first = edges_.size();
  for (const WorkEdge& edge : after) {
    ensure(edge.node >= 0 && edge.node < id, "work waits for nodes that exist already");
    const auto known =
        std::find_if(edges_.begin() + static_cast<std::ptrdiff_t>(first), edges_.end(),
                     [&](const WorkEdge& e) { return e.node == edge.node; });
    if (known == edges_.end()) {
      edges_.push_back(edge);
    } else if (edge.scope == EdgeScope::group) {
      known->scope = EdgeScope::group;
    }
  }
  first_edge_.push_back(edges_.size());
  nodes_.push_back(node);
  return id;
}

}  // namespace moesim
