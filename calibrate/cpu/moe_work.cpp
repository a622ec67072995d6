#include "calibrate/cpu/moe_work.h"

#include <array>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "sim/core/error.h"
#include "sim/engine/lowering/graph_builder.h"

namespace moesim {
namespace {

WorkEdge of_all_ranks(WorkEdge edge) { return {edge.node, EdgeScope::group}; }

// Ranks of one stage, all of them peers; nothing is a collective.
class HostExpansion final : public WorkExpansion {
 public:
  HostExpansion(const Work& work, int ranks, const ProgramOf& program_of, TaskGraph& graph)
      : work_(work),
        program_of_(program_of),
        graph_(graph),
        peers_(static_cast<std::size_t>(ranks)) {
    std::iota(peers_.begin(), peers_.end(), 0);
  }

  [[nodiscard]] RankRange ranks_of(int) const override {
    return {0, static_cast<int>(peers_.size())};
  }
  ProgramId chain(std::span<const std::int32_t> nodes, int rank) override {
    ensure(nodes.size() == 1, "every node of a host's layer is a task");
    return program_of_(nodes.front(), rank);
  }
  [[nodiscard]] std::int32_t resource_offset(int) const override { return 0; }
  [[nodiscard]] int groups(std::int32_t) const override { return 0; }
  [[nodiscard]] std::span<const int> ranks_of_group(std::int32_t, int) const override { return {}; }
  ProgramId collective(std::int32_t, int) override { return k_no_program; }
  [[nodiscard]] int lane(std::int32_t, int) const override { return 0; }
  [[nodiscard]] std::span<const int> peers(int) const override { return peers_; }
  ProgramId nothing() override { return graph_.begin_program(); }
  [[nodiscard]] std::int32_t label(std::span<const std::int32_t> nodes) const override {
    return graph_.label(std::string(step_name(step_kind(work_.node(nodes.front())))));
  }

 private:
  const Work& work_;
  const ProgramOf& program_of_;
  TaskGraph& graph_;
  std::vector<int> peers_;
};

}  // namespace

std::string_view step_name(MoeStepKind kind) {
  constexpr std::array<std::string_view, k_step_kinds> names{"gate", "dispatch", "experts",
                                                             "combine"};
  return names.at(static_cast<std::size_t>(kind));
}

MoeStepKind step_kind(const WorkNode& node) {
  switch (node.kind) {
    case WorkKind::router:
      return MoeStepKind::gate;
    case WorkKind::send:
      return MoeStepKind::dispatch;
    case WorkKind::experts:
      return MoeStepKind::experts;
    default:
      ensure(node.kind == WorkKind::receive, "a host's layer has four kinds of nodes");
      return MoeStepKind::combine;
  }
}

Work moe_work(int layers, int micro_batches, bool cuts_rows) {
  Work work;
  for (int batch = 0; batch < micro_batches; ++batch) {
    std::vector<WorkEdge> before;
    for (int layer = 0; layer < layers; ++layer) {
      const auto add = [&](WorkKind kind, RowPart part, const std::vector<WorkEdge>& after) {
        return WorkEdge{work.add(
            {.kind = kind, .layer = layer, .batch = batch, .part = static_cast<std::int32_t>(part)},
            after)};
      };
      const WorkEdge routed = add(WorkKind::router, RowPart::all, before);
      std::vector<WorkEdge> computed;
      if (cuts_rows) {
        const WorkEdge kept = add(WorkKind::send, RowPart::own, {routed});
        const WorkEdge sent = add(WorkKind::send, RowPart::others, {routed});
        computed = {add(WorkKind::experts, RowPart::own, {kept}),
                    of_all_ranks(add(WorkKind::experts, RowPart::others, {of_all_ranks(sent)}))};
      } else {
        const WorkEdge sent = add(WorkKind::send, RowPart::all, {routed});
        computed = {of_all_ranks(add(WorkKind::experts, RowPart::all, {of_all_ranks(sent)}))};
      }
      before = {add(WorkKind::receive, RowPart::all, computed)};
    }
  }
  return work;
}

void build_moe_graph(const Work& work, const Schedule& schedule, int ranks,
                     const ProgramOf& program_of, TaskGraph& graph) {
  HostExpansion expansion(work, ranks, program_of, graph);
  build_graph(work, schedule, expansion, graph);
}

}  // namespace moesim
