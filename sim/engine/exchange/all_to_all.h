// All-to-all of expert parallelism: which algorithm puts how many bytes on which link. Equations
// and sources: ALL_TO_ALL.md.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hardware/topology.h"
#include "models/comm/comm_profile.h"
#include "models/operators/op.h"
#include "sim/core/dtype.h"
#include "sim/engine/exchange/traffic.h"

namespace moesim {

struct TokenPayload {
  std::int64_t hidden = 0;
  int top_k = 0;
  DType dispatch = DType::bf16;
  DType combine = DType::bf16;
};

// hidden values of the format; 8-bit formats add a 4-byte scale per 128 values.
Bytes activation_bytes(std::int64_t hidden, DType dtype);

// What a layer's tokens want. The traffic holds distinct copies if the algorithm asks for them.
struct LayerDemand {
  const TokenLayout* layout = nullptr;
  const LayerTraffic* traffic = nullptr;
};

// What sizes an algorithm's buffers.
struct ExchangeSize {
  std::int64_t slots = 0;  // expert slots of a layer, over all ranks
  std::int64_t ranks = 0;
  std::int64_t tokens_per_rank = 0;
  std::int64_t most_pairs = 0;  // (token, expert) pairs that a rank receives at most
};

// Rows that a rank's expert kernel is handed.
enum class ReceivedRows {
  pairs,       // one per (token, expert) pair
  tokens,      // one per token that has an expert there
  all_tokens,  // one per token of the group
};

struct AllToAllEntry {
  std::string_view name;
  std::string_view summary;
  bool needs_distinct = false;
  ReceivedRows received = ReceivedRows::pairs;
  // Nothing moves: every rank of the expert group has every token, and results are added up by the
  // all-reduce that tensor-parallel attention needs anyway.
  bool tokens_everywhere = false;
  ExpertLayout layout = ExpertLayout::fused;  // of the rows that it leaves to the experts
  // The copies of a dispatch: part of the traffic, or worked out into `scratch`. A combine moves
  // the same copies backwards.
  const TokenFlow& (*copies)(const LayerDemand&, TokenFlow& scratch) = nullptr;
  Bytes (*dispatch_bytes)(const TokenPayload&) = nullptr;  // of one copy
  Bytes (*combine_bytes)(const TokenPayload&) = nullptr;
  // Send and receive buffers of one rank.
  Bytes (*buffer_bytes)(const TokenPayload&, const ExchangeSize&) = nullptr;
};

// Every algorithm, in the order in which they are documented.
std::span<const AllToAllEntry> all_to_all_algorithms();

// Throws ConfigError(where, ...) that lists the names.
const AllToAllEntry& find_all_to_all_algorithm(std::string_view name, std::string_view where);

// How an algorithm leaves the rows of `units` expert units to their kernels: one unit exchanges
// nothing, so that its framework's own kernel runs.
ExpertLayout expert_layout(std::string_view algorithm, int units);

// Ids (8 bytes) and gate weights (4 bytes) that travel with a token.
inline Bytes routing_bytes(int top_k) { return Bytes(12.0 * top_k); }

// Buffers of an algorithm that stages what it sends (top_k copies of a token at most) and what the
// busiest rank receives, each in the wider of its two formats.
Bytes staged_rows(const TokenPayload& payload, const ExchangeSize& size);

inline constexpr std::string_view k_tp_allreduce = "tp_allreduce";

// One file each.
AllToAllEntry deepep_low_latency_entry();
AllToAllEntry deepep_normal_entry();
AllToAllEntry deepep_v2_entry();
AllToAllEntry rank_dedup_entry();
AllToAllEntry expert_copies_entry();
AllToAllEntry allgather_reducescatter_entry();
AllToAllEntry tp_allreduce_entry();

}  // namespace moesim
