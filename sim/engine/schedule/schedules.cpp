#include <algorithm>
#include <array>
#include <numeric>

#include "sim/core/error.h"
#include "sim/engine/schedule/schedule.h"

namespace moesim {

void check_schedule(const Work& work, const Schedule& schedule) {
  std::vector<char> placed(work.nodes().size(), 0);
  for (const PlacedNode& place : schedule.order) {
    const auto id = static_cast<std::size_t>(place.node);
    ensure(id < placed.size() && placed[id] == 0, "a schedule places every node once");
    ensure(place.stream >= 0 && place.stream < schedule.streams, "a schedule's streams exist");
    for (const WorkEdge& edge : work.after(place.node)) {
      ensure(placed[static_cast<std::size_t>(edge.node)] != 0,
             "a schedule places a node behind what it waits for");
    }
    placed[id] = 1;
  }
  ensure(std::ranges::find(placed, 0) == placed.end(), "a schedule places every node");
}

std::vector<std::int32_t> work_order(const Work& work) {
  std::vector<std::int32_t> order(work.nodes().size());
  std::iota(order.begin(), order.end(), 0);
  return order;
}

std::vector<std::int32_t> shared_behind_dispatch(const Work& work) {
  std::vector<std::int32_t> order;
  std::vector<std::int32_t> shared;
  const auto place_shared = [&] {
    order.insert(order.end(), shared.begin(), shared.end());
    shared.clear();
  };
  for (std::int32_t id = 0; id < static_cast<std::int32_t>(work.nodes().size()); ++id) {
    const WorkKind kind = work.node(id).kind;
    if (kind == WorkKind::shared) {
      shared.push_back(id);
      continue;
    }
    const bool before = kind == WorkKind::router || kind == WorkKind::free_experts ||
                        kind == WorkKind::latent_in || kind == WorkKind::dispatch;
    if (!before) {
      place_shared();
    }
    order.push_back(id);
  }
  place_shared();
  return order;
}

std::span<const OverlapEntry> overlap_policies() {
  static const std::array entries{
      none_entry(),         two_batch_entry(),     five_stage_entry(),
      single_batch_entry(), shared_expert_entry(), shortcut_entry(),
      chunked_entry(),      by_arrival_entry(),    three_stream_entry()};
  return entries;
}

bool splits_attention(const OverlapEntry& entry, const OverlapOptions& options) {
  return entry.splits_attention || (entry.has_split_option && options.attention_split);
}

int parts_of(const OverlapEntry& entry, const OverlapOptions& options) {
  switch (entry.parts) {
    case PartRule::whole:
      return 1;
    case PartRule::chunks:
      ensure(options.degree > 0, "chunks are counted before they are made");
      return options.degree;
    case PartRule::halves:
      return 2;
    case PartRule::sources:
      return k_source_parts;
  }
  throw InvariantError("experts are cut in one of four ways");
}

std::span<const int> degrees_of(const OverlapEntry& entry, const OverlapOptions& options) {
  static constexpr std::array<int, 1> one{1};
  if (!has_degree(entry)) {
    return one;
  }
  return options.degree > 0 ? std::span(&options.degree, 1) : std::span<const int>(k_degrees);
}

const OverlapEntry& find_overlap(std::string_view name, const std::string& where) {
  std::vector<std::string_view> names;
  for (const OverlapEntry& entry : overlap_policies()) {
    if (entry.name == name) {
      return entry;
    }
    names.push_back(entry.name);
  }
  throw ConfigError(where, "\"" + std::string(name) + "\" is not one of: " + joined(names));
}

}  // namespace moesim
