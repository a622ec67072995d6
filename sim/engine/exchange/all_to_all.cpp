#include "sim/engine/exchange/all_to_all.h"

#include <algorithm>
#include <array>

#include "sim/core/error.h"

namespace moesim {

Bytes activation_bytes(std::int64_t hidden, DType dtype) {
  const bool scaled = dtype == DType::fp8 || dtype == DType::fp8_block || dtype == DType::int8;
  const double bits = scaled ? 8.0 : stored_bits(dtype);
  const std::int64_t scales = scaled ? (hidden + 127) / 128 : 0;
  return Bytes(static_cast<double>(hidden) * bits / 8.0 + 4.0 * static_cast<double>(scales));
}

Bytes staged_rows(const TokenPayload& payload, const ExchangeSize& size) {
  const Bytes row = std::max(activation_bytes(payload.hidden, payload.dispatch),
                             activation_bytes(payload.hidden, payload.combine)) +
                    routing_bytes(payload.top_k);
  const std::int64_t copies = std::min<std::int64_t>(payload.top_k, size.ranks);
  return static_cast<double>(size.tokens_per_rank * copies + size.most_pairs) * row;
}

std::span<const AllToAllEntry> all_to_all_algorithms() {
  static const std::array entries{
      deepep_low_latency_entry(), deepep_normal_entry(), deepep_v2_entry(),
      rank_dedup_entry(),         expert_copies_entry(), allgather_reducescatter_entry(),
      tp_allreduce_entry(),
  };
  return entries;
}

const AllToAllEntry& find_all_to_all_algorithm(std::string_view name, std::string_view where) {
  std::vector<std::string_view> names;
  const std::string_view algorithm = name.substr(0, name.find('.'));
  for (const AllToAllEntry& entry : all_to_all_algorithms()) {
    if (entry.name == algorithm) {
      return entry;
    }
    names.push_back(entry.name);
  }
  throw ConfigError(where, "\"" + std::string(name) + "\" is not one of: " + joined(names));
}

ExpertLayout expert_layout(std::string_view algorithm, int units) {
  return units > 1 ? find_all_to_all_algorithm(algorithm, "policy/all_to_all").layout
                   : ExpertLayout::fused;
}

}  // namespace moesim
