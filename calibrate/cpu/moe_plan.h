// One run of a small Mixture-of-Experts model on this host, as plain data: which token row goes
// where, and which thread does what after what: work and a schedule in the engine's terms, and the
// steps that the engine's graph builder makes of them. The real layer executes this plan and the
// simulator lowers it; neither adds to it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "calibrate/cpu/host_kernels.h"
#include "calibrate/cpu/moe_work.h"
#include "workloads/sources/routing.h"

namespace moesim {

enum class ExpertHome : std::uint8_t { memory, page_cache, disk };  // where misses come from

struct MoeConfig {
  std::string regime;  // of the report: "one_rank", ...
  ExpertShape shape;
  int experts = 8;
  int top_k = 2;
  int layers = 2;
  int ranks = 1;
  std::int64_t tokens_per_rank = 1;
  std::string placement = "contiguous";   // of the placement library
  int redundant = 0;                      // replicas per layer
  std::string routing = "power_law:0.8";  // or a .moetrace file, or what make_routing_source takes
  HostOverlap overlap = HostOverlap::none;
  ExpertHome home = ExpertHome::memory;
  int cache_experts = 0;  // slots per rank, all layers together; 0 with ExpertHome::memory
  std::uint64_t seed = 1;

  [[nodiscard]] int threads() const { return ranks * host_schedule(overlap).threads_per_rank; }
  [[nodiscard]] int batches() const { return host_schedule(overlap).micro_batches; }
  [[nodiscard]] std::int64_t weight_bytes() const {
    return layers * static_cast<std::int64_t>(experts) * shape.weight_bytes();
  }
};
std::string describe(const MoeConfig& config);
std::string_view home_name(ExpertHome home);

struct ExpertRows {
  std::int32_t expert = 0;
  std::int32_t first_row = 0;  // in the rank's receive buffer of the micro-batch
  std::int32_t rows = 0;
  bool own_rank_only = false;  // no row comes from another rank
};

struct PairRow {
  std::int32_t token = 0;  // within the source rank
  std::int32_t slot = 0;   // which of the token's top_k
  std::int32_t destination = 0;
  std::int32_t row = 0;  // in the destination's receive buffer
};

// One layer and micro-batch.
struct MoeLayerPlan {
  std::vector<std::vector<ExpertRows>> experts;  // [rank], ascending expert, only those with rows
  std::vector<std::vector<PairRow>> pairs;       // [source rank], by token, then slot
  std::vector<std::int32_t> rows;                // [rank] in its receive buffer
};

// A node of the work on one rank.
struct MoeStep {
  std::int32_t node = 0;
  MoeStepKind kind = MoeStepKind::gate;
  int layer = 0;
  int batch = 0;
  RowPart part = RowPart::all;
  int rank = 0;
  int thread = 0;
  std::vector<int> after;  // steps of other threads; those of the own thread run in order

  [[nodiscard]] bool holds(const ExpertRows& rows) const {
    return part == RowPart::all || (part == RowPart::own) == rows.own_rank_only;
  }
  [[nodiscard]] bool holds(const PairRow& pair) const {  // of the step's rank
    return part == RowPart::all || (part == RowPart::own) == (pair.destination == rank);
  }
};

struct MoePlan {
  MoeConfig config;
  RoutedTokens tokens;                          // rank by rank
  std::vector<std::vector<MoeLayerPlan>> plan;  // [layer][batch]
  std::vector<std::int64_t> first_token;        // [batch], batches() + 1 entries, within each rank
  Work work;
  Schedule schedule;
  std::vector<MoeStep> steps;  // task by task of build_moe_graph(), a topological order

  // Distinct experts with tokens, over all ranks, of one layer; the bytes of their weights.
  [[nodiscard]] std::int64_t touched_experts(int layer) const;
  [[nodiscard]] std::int64_t touched_bytes() const;  // of all layers
  [[nodiscard]] const std::uint16_t* picks(int layer, int rank, std::int64_t token) const;
};

// Routing drawn (or replayed) and placed. Throws ConfigError for a configuration without sense.
// `routing_profiles`: folders for "profile:NAME" routing.
MoePlan make_plan(const MoeConfig& config, const std::vector<std::string>& routing_profiles = {});

}  // namespace moesim
