#include "sim/engine/lowering/expert_parts.h"

#include <algorithm>
#include <cmath>

namespace moesim {
namespace {

std::size_t at(int index) { return static_cast<std::size_t>(index); }

std::int64_t rounded(double value) { return std::llround(value); }

// Experts of the first half, of so many.
std::int64_t first_half(std::int64_t experts) { return (experts + 1) / 2; }

double share_of_first_half(std::int64_t experts) {
  return static_cast<double>(first_half(experts)) /
         static_cast<double>(std::max<std::int64_t>(1, experts));
}

std::int64_t cut(std::int64_t whole, double share, std::int32_t half) {
  const std::int64_t first = rounded(static_cast<double>(whole) * share);
  return half == 0 ? first : whole - first;
}

void keep_near(TokenFlow& flow) {
  std::ranges::fill(flow.far_in, 0);
  std::ranges::fill(flow.far_out, 0);
  std::ranges::fill(flow.between, 0);
}

void drop_near(TokenFlow& flow) {
  std::ranges::fill(flow.near_in, 0);
  std::ranges::fill(flow.near_out, 0);
}

}  // namespace

void scale(CollectiveCost& cost, double share) {
  cost.payload_bytes *= share;
  for (LinkLoad& load : cost.loads) {
    load.bytes *= share;
    load.payload *= share;
  }
}

ExpertShard half_of(const ExpertShard& whole, std::int32_t half) {
  ExpertShard part = whole;
  const std::int64_t first = first_half(whole.local_experts);
  const double share = share_of_first_half(whole.local_experts);
  part.local_experts = half == 0 ? first : whole.local_experts - first;
  part.entering_tokens = cut(whole.entering_tokens, share, half);
  part.load.pairs = cut(whole.load.pairs, share, half);
  part.load.touched_experts = cut(whole.load.touched_experts, share, half);
  part.load.tiles_64 = cut(whole.load.tiles_64, share, half);
  part.load.tiles_128 = cut(whole.load.tiles_128, share, half);
  part.load.busiest = std::min(whole.load.busiest, part.load.pairs);
  return part;
}

CollectiveCost half_of(const CollectiveCost& whole, std::int64_t local_experts, std::int32_t half) {
  const double first = share_of_first_half(local_experts);
  const double share = half == 0 ? first : 1.0 - first;
  CollectiveCost part = whole;
  part.latency = half == 0 ? whole.latency : Seconds(0.0);
  part.token_copies *= share;
  scale(part, share);
  if (share == 0.0) {
    part.loads.clear();
  }
  return part;
}

ExpertShard source_of(const ExpertShard& whole, const LayerTraffic& traffic, int unit,
                      SourcePart part) {
  const TokenFlow& flow = traffic.pairs;
  const std::int64_t near = flow.near_in[at(unit)];
  const std::int64_t far = flow.far_in[at(unit)];
  ExpertShard result = whole;
  ExpertLoad& load = result.load;
  load.pairs = part == SourcePart::far    ? far
               : part == SourcePart::near ? near
                                          : whole.load.pairs - near - far;
  if (load.pairs <= 0 || whole.load.pairs == 0) {
    load = {};
    result.entering_tokens = 0;
    return result;
  }
  const double share = static_cast<double>(load.pairs) / static_cast<double>(whole.load.pairs);
  const auto touched = static_cast<double>(whole.load.touched_experts);
  const double rows = static_cast<double>(whole.load.pairs) / std::max(1.0, touched);
  const auto scaled = [share](std::int64_t count) {
    return static_cast<std::int64_t>(std::ceil(static_cast<double>(count) * share));
  };
  load.touched_experts = std::clamp<std::int64_t>(
      rounded(touched * (1.0 - std::pow(1.0 - share, rows))), 1, load.pairs);
  load.tiles_64 = std::max(load.touched_experts, scaled(whole.load.tiles_64));
  load.tiles_128 = std::max(load.touched_experts, scaled(whole.load.tiles_128));
  load.busiest = scaled(whole.load.busiest);
  result.entering_tokens = scaled(whole.entering_tokens);
  return result;
}

// Of copies per node, those within a node are direct ones and, passed on, far ones; the direct ones
// are those of the copies per rank.
void traffic_of_source(const LayerTraffic& whole, SourcePart part, LayerTraffic& out) {
  out = whole;
  if (part == SourcePart::far) {
    drop_near(out.pairs);
    drop_near(out.distinct.per_rank);
    TokenFlow& per_node = out.distinct.per_node;
    const TokenFlow& direct = whole.distinct.per_rank;
    for (std::size_t r = 0; r < per_node.near_in.size(); ++r) {
      per_node.near_in[r] -= direct.near_in[r];
      per_node.near_out[r] -= direct.near_out[r];
    }
    return;
  }
  keep_near(out.pairs);
  keep_near(out.distinct.per_rank);
  keep_near(out.distinct.per_node);
  out.distinct.per_node.near_in = whole.distinct.per_rank.near_in;
  out.distinct.per_node.near_out = whole.distinct.per_rank.near_out;
  if (part == SourcePart::own) {
    drop_near(out.pairs);
    drop_near(out.distinct.per_rank);
    drop_near(out.distinct.per_node);
  }
}

}  // namespace moesim
