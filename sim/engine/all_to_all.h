// All-to-all of expert parallelism: which algorithm puts how many bytes on which link. Equations
// and sources: ALL_TO_ALL.md.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hardware/comm_profile.h"
#include "hardware/topology.h"
#include "sim/core/dtype.h"
#include "sim/engine/traffic.h"

namespace moesim {

struct TokenPayload {
  std::int64_t hidden = 0;
  int top_k = 0;
  DType dispatch = DType::bf16;
  DType combine = DType::bf16;
};

// hidden values of the format; 8-bit formats add a 4-byte scale per 128 values.
Bytes activation_bytes(std::int64_t hidden, DType dtype);

// Where the ranks sit: ranks of one node are contiguous and every node has as many.
struct RankGrid {
  int ranks = 1;
  int ranks_per_node = 1;

  [[nodiscard]] int nodes() const { return ranks / ranks_per_node; }
  [[nodiscard]] int node_of(int rank) const { return rank / ranks_per_node; }
  // The rank of `node` on the same rail (position in the node) as `rank`.
  [[nodiscard]] int rail_peer(int rank, int node) const {
    return node * ranks_per_node + rank % ranks_per_node;
  }
};

// What a layer's tokens want. `distinct` may be null unless the algorithm asks for it.
struct LayerDemand {
  const TokenLayout* layout = nullptr;
  const LayerTraffic* traffic = nullptr;
  const DistinctCounts* distinct = nullptr;
};

// What sizes an algorithm's buffers.
struct ExchangeSize {
  std::int64_t slots = 0;  // expert slots of a layer, over all ranks
  std::int64_t ranks = 0;
  std::int64_t tokens_per_rank = 0;
  std::int64_t most_pairs = 0;  // (token, expert) pairs that a rank receives at most
};

struct AllToAllEntry {
  std::string_view name;
  std::string_view summary;
  bool needs_distinct = false;
  // Fills copies[to * ranks + from] with the token copies of a dispatch; 0 where from == to. A
  // combine moves the same copies backwards: copies[to * ranks + from] goes from `to` to `from`.
  void (*fill_copies)(const LayerDemand&, const RankGrid&, std::span<double> copies) = nullptr;
  Bytes (*dispatch_bytes)(const TokenPayload&) = nullptr;  // of one copy
  Bytes (*combine_bytes)(const TokenPayload&) = nullptr;
  // Send and receive buffers of one rank.
  Bytes (*buffer_bytes)(const TokenPayload&, const ExchangeSize&) = nullptr;
};

// Every algorithm, in the order in which they are documented.
std::span<const AllToAllEntry> all_to_all_algorithms();

// Throws ConfigError(where, ...) that lists the names.
const AllToAllEntry& find_all_to_all_algorithm(std::string_view name, std::string_view where);

// One file each.
AllToAllEntry deepep_low_latency_entry();
AllToAllEntry deepep_normal_entry();
AllToAllEntry rank_dedup_entry();
AllToAllEntry expert_copies_entry();
AllToAllEntry allgather_reducescatter_entry();

}  // namespace moesim
