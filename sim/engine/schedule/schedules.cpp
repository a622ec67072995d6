#include <algorithm>
#include <array>

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

std::span<const OverlapEntry> overlap_policies() {
  static const std::array entries{none_entry(), two_batch_entry()};
  return entries;
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
