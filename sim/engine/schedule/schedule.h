// When the nodes of a step's work run: in which order, and on which streams. A schedule is data; a
// policy is one small file that makes it, and a row in the table of schedules.cpp.
#pragma once

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

// Throws InvariantError unless every node is placed once, on a stream that exists, behind all that
// it waits for.
void check_schedule(const Work& work, const Schedule& schedule);

struct OverlapOptions {
  // two_batch: attention is two stages, before the attention kernel and from there on.
  bool attention_split = false;
};

struct OverlapEntry {
  std::string_view name;
  std::string_view summary;
  int micro_batches = 1;  // that a step's batch is cut into
  bool decode_only = false;
  Schedule (*make)(const Work&, const OverlapOptions&) = nullptr;
};

// Every overlap schedule, in the order in which they are documented.
std::span<const OverlapEntry> overlap_policies();
// Throws ConfigError(where, ...) that lists the names.
const OverlapEntry& find_overlap(std::string_view name, const std::string& where);

// One file each.
OverlapEntry none_entry();
OverlapEntry two_batch_entry();

}  // namespace moesim
