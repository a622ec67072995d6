// One run of a small Mixture-of-Experts model on this host, as plain data: which token row goes
// where, and which thread does what after what. The real layer executes this plan and the simulator
// lowers it; neither adds to it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "calibrate/cpu/host_kernels.h"
#include "workloads/routing.h"

namespace moesim {

enum class HostOverlap : std::uint8_t {
  none,       // all dispatch, then all experts, then all combine
  arrival,    // experts start when their own rows are there
  two_batch,  // one rank, two threads: one moves a micro-batch while the other computes the other
};
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

  [[nodiscard]] int threads() const { return overlap == HostOverlap::two_batch ? 2 : ranks; }
  [[nodiscard]] int batches() const { return overlap == HostOverlap::two_batch ? 2 : 1; }
  [[nodiscard]] std::int64_t weight_bytes() const {
    return layers * static_cast<std::int64_t>(experts) * shape.weight_bytes();
  }
};
std::string describe(const MoeConfig& config);
std::string_view overlap_name(HostOverlap overlap);
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

enum class MoeStepKind : std::uint8_t { gate, dispatch, experts, combine };
inline constexpr std::size_t k_step_kinds = 4;
std::string_view step_name(MoeStepKind kind);

// Parts: dispatch: rows to that rank only; experts: 0 those with rows of the own rank only, 1 the
// others. -1: all.
struct MoeStep {
  MoeStepKind kind = MoeStepKind::gate;
  int layer = 0;
  int batch = 0;
  int rank = 0;
  int part = -1;
  int thread = 0;
  std::vector<int> after;  // steps of other threads; those of the own thread run in order
};

struct MoePlan {
  MoeConfig config;
  RoutedTokens tokens;                          // rank by rank
  std::vector<std::vector<MoeLayerPlan>> plan;  // [layer][batch]
  std::vector<std::int64_t> first_token;        // [batch], batches() + 1 entries, within each rank
  std::vector<MoeStep> steps;                   // a topological order

  // Distinct experts with tokens, over all ranks, of one layer; the bytes of their weights.
  [[nodiscard]] std::int64_t touched_experts(int layer) const;
  [[nodiscard]] std::int64_t touched_bytes() const;  // of all layers
  [[nodiscard]] const std::uint16_t* picks(int layer, int rank, std::int64_t token) const;
};

// Routing drawn (or replayed) and placed. Throws ConfigError for a configuration without sense.
// `routing_profiles`: folders for "profile:NAME" routing.
MoePlan make_plan(const MoeConfig& config, const std::vector<std::string>& routing_profiles = {});

}  // namespace moesim
