// A scenario as the user writes it: names and numbers, checked one by one. What the names mean is
// looked up by simulation.h.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "models/kernels/kernel_model.h"
#include "models/operators/operators.h"
#include "placement/problem.h"
#include "sim/core/key_record.h"
#include "sim/engine/batch_padding.h"
#include "sim/engine/rank_map.h"
#include "sim/engine/schedule/schedule.h"
#include "sim/engine/step_batch.h"

namespace moesim {

enum class StepKind { decode, prefill, mixed, batches };
std::string_view name_of(StepKind kind);

// What a step has to do: the same on every attention data-parallel rank, or a list (`batches`).
struct Workload {
  StepKind kind = StepKind::decode;
  std::int64_t decode_requests = 0;  // of each rank, one new token each
  std::int64_t context = 0;          // keys per decode request, the new token included
  std::int64_t prefill_tokens = 0;   // of each rank: prompt tokens of the step
  std::int64_t prompt_tokens = 0;    // length of one prompt
  std::vector<RankBatch> batches;    // kind batches: by rank
  std::string routing;               // see make_routing_source
  std::int64_t routing_sample = 0;   // prefill: tokens per rank that are routed; 0: all

  // The batch of the run's step `index`: decoding contexts are one longer per step.
  [[nodiscard]] StepBatch batch(int attention_ranks, int index) const;
};

struct PlacementChoice {
  std::string policy;  // a placement solver's name; empty: the file's placement
  std::string file;    // in any of the formats of placement/formats; empty: the policy's
  int redundant_experts = 0;
  CommModel comm_model = CommModel::none;  // the traffic that the solver sees
  std::int64_t statistics_tokens = 0;      // that it sees loads and traffic of
  bool expected_statistics = false;        // their expected loads instead; comm_model none only
};

// Where a token is between layers: back at its home rank after every layer, or still on the rank of
// its last expert (context-coherent expert parallelism, ExFlow, arXiv:2401.08383).
enum class TokenResidency { home, last_expert };

// The framework's own library, else NCCL's.
inline constexpr const char* k_auto_library = "auto";

struct Policy {
  std::string all_to_all;
  // What a framework's all-to-all reaches on a device's link; 0: as the profile of its law says.
  Bandwidth all_to_all_link_rate;
  KernelWishes kernels;
  // Library of collectives by operation ("all_reduce", ...; "default": of the others).
  std::map<std::string, std::string> collectives{{"default", k_auto_library}};
  // Are a step's launches captured once and replayed? Absent: those of decode steps are.
  std::optional<bool> cuda_graphs;
  BatchPadding batch_padding;  // of captured steps
  std::string overlap;         // a schedule's name
  OverlapOptions overlap_options;
  DType dispatch = DType::bf16;  // of tokens on their way to experts
  DType combine = DType::bf16;   // and back
  TokenResidency residency = TokenResidency::home;
  OpPrecision precision;

  [[nodiscard]] const std::string& collective_library(std::string_view operation) const;
  // Whose custom all-reduce is the usual one: the framework that kernels are asked of, else empty.
  [[nodiscard]] std::string framework() const;
  [[nodiscard]] bool captures(const StepBatch& batch) const {
    return cuda_graphs.value_or(batch.prefill_tokens() == 0);
  }
};

// How a step uses its routing source: tokens drawn or replayed one by one, or their counts as they
// may be expected.
enum class RoutingUse { tokens, expected };

struct RunOptions {
  int steps = 1;
  RoutingUse routing = RoutingUse::tokens;
  int threads = 1;  // not part of the document: results do not depend on it
};

struct Scenario {
  nlohmann::json hardware;  // references, resolved later
  nlohmann::json model;
  std::string name;   // of the file, for messages and titles
  std::string where;  // "file.json#"
  Workload workload;
  Parallelism parallelism;
  PlacementChoice placement;
  Policy policy;
  RunOptions run;
  std::uint64_t seed = 1;
  nlohmann::json effective;           // the document with every default filled in
  KeyRecord keys;                     // which keys the document gives
  std::vector<std::string> warnings;  // of how the document was read; for reports
};

// Throws ConfigError("name#/pointer", ...).
Scenario parse_scenario(const nlohmann::json& document, const std::string& name);

}  // namespace moesim
