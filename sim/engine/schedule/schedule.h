// When the nodes of a step's work run: in which order, and on which streams. A schedule is data; a
// policy is one small file that makes it, and a row in the table of schedules.cpp.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/engine/schedule/work.h"

namespace moesim {

// A node on a stream of each rank that runs it. The nodes of a rank's stream run one after the
// other, in the order in which they are listed; a collective occupies the stream of all its ranks.
struct PlacedNode {
  std::int32_t node = 0;
  std::int32_t stream = 0;
};

struct Schedule {
  std::vector<PlacedNode> order;  // every node once, behind the nodes that it waits for
  int streams = 1;                // per rank
};

// Dispatch or combine.
inline bool exchanges(const WorkNode& node) {
  return node.kind == WorkKind::dispatch || node.kind == WorkKind::combine;
}

// All nodes in the order of the work.
std::vector<std::int32_t> work_order(const Work& work);
// The same, but shared experts behind the dispatch that follows them, so that it need not wait for
// them where both could start.
std::vector<std::int32_t> shared_behind_dispatch(const Work& work);

// Nodes in this order, each on the stream that `stream_of(node)` says; as many streams as that
// takes.
template <class StreamOf>
Schedule on_streams(const Work& work, std::span<const std::int32_t> order, StreamOf stream_of) {
  Schedule schedule;
  for (const std::int32_t id : order) {
    const std::int32_t stream = stream_of(work.node(id));
    schedule.order.push_back({id, stream});
    schedule.streams = std::max(schedule.streams, stream + 1);
  }
  return schedule;
}

// Throws InvariantError unless every node is placed once, on a stream that exists, behind all that
// it waits for.
void check_schedule(const Work& work, const Schedule& schedule);

// Into what the routed experts' work of a micro-batch is cut; each part has its own experts node.
enum class PartRule : std::uint8_t {
  whole,
  chunks,   // of the tokens: a dispatch, experts and a combine each
  halves,   // of a rank's experts: one dispatch, experts and a combine each
  sources,  // of the rows by where they come from (SourcePart): a dispatch, experts, a combine each
};

// Parts under PartRule::sources.
enum class SourcePart : std::uint8_t { own, near, far };  // rank, node, other nodes
inline constexpr int k_source_parts = 3;

inline constexpr std::array k_degrees{1, 2, 4, 8};  // that `adaptive` tries (Tutel, section 3.3)
inline constexpr int k_most_degree = 8;

struct OverlapOptions {
  // two_batch: attention is two stages, before the attention kernel and from there on.
  bool attention_split = false;
  // Chunks of schedules that have a degree; 0: whichever of k_degrees ends the step first.
  int degree = 0;
  // Kernels beside communication are slowed by the multiprocessors that it occupies.
  bool interference = true;
};

struct OverlapEntry {
  std::string_view name;
  std::string_view summary;
  int micro_batches = 1;  // that a step's batch is cut into
  PartRule parts = PartRule::whole;
  bool splits_attention = false;  // always; `attention_split` is for others
  bool has_split_option = false;
  // Slices of an expert receive its rows apart and gather them in their unit; needs etp > 1.
  bool gathers_in_units = false;
  bool needs_shortcut = false;  // experts that run beside the next blocks (models' `shortcut`)
  std::span<const std::string_view> streams = {};  // names, for pictures
  Schedule (*make)(const Work&, const OverlapOptions&) = nullptr;
};

// Chunks whose number is chosen: PartRule::chunks.
inline bool has_degree(const OverlapEntry& entry) { return entry.parts == PartRule::chunks; }
bool splits_attention(const OverlapEntry& entry, const OverlapOptions& options);
// Of a micro-batch's routed experts. Throws InvariantError for chunks whose degree is still open.
int parts_of(const OverlapEntry& entry, const OverlapOptions& options);
// The degrees that a step tries: the one given, or k_degrees; 1 without chunks.
std::span<const int> degrees_of(const OverlapEntry& entry, const OverlapOptions& options);

// Every overlap schedule, in the order in which they are documented.
std::span<const OverlapEntry> overlap_policies();
// Throws ConfigError(where, ...) that lists the names.
const OverlapEntry& find_overlap(std::string_view name, const std::string& where);

// One file each.
OverlapEntry none_entry();
OverlapEntry two_batch_entry();
OverlapEntry five_stage_entry();
OverlapEntry single_batch_entry();
OverlapEntry shared_expert_entry();
OverlapEntry shortcut_entry();
OverlapEntry chunked_entry();
OverlapEntry by_arrival_entry();
OverlapEntry three_stream_entry();

}  // namespace moesim
