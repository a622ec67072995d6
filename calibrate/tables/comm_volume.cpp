// Bytes that exchanges move, on average over routings.
#include <algorithm>

#include "calibrate/tables/comm_rows.h"

namespace moesim {

double expected_distinct(int bins, std::int64_t items, int picks) {
  // A bin stays empty when all picks fall on the other items: product of the shares left.
  const double per_bin = static_cast<double>(items) / bins;
  double empty = 1.0;
  for (int i = 0; i < picks; ++i) {
    empty *= std::max(
        0.0, (static_cast<double>(items) - per_bin - i) / (static_cast<double>(items) - i));
  }
  return bins * (1.0 - empty);
}

double ideal_seconds(const CommRow& row, const CommProfile& system) {
  if (row.is_collective) {
    return row.collective.bytes * link_volume(row.collective.op, row.collective.ranks) /
           system.device_link.si();
  }
  const AllToAllVolume& v = row.all_to_all.volume;
  return std::max(v.device_bytes / system.device_link.si(), v.nic_bytes / system.nic.si());
}

AllToAllVolume low_latency_volume(const AllToAllRow& row, int devices_per_node, double payload) {
  const double copies = static_cast<double>(row.tokens) * row.top_k * payload;
  AllToAllVolume volume;
  volume.device_bytes = copies * (devices_per_node - 1) / row.ranks;
  volume.nic_bytes = copies * (row.ranks - devices_per_node) / row.ranks;
  volume.expert_bytes = copies * row.ranks / static_cast<double>(row.experts);
  return volume;
}

AllToAllVolume normal_volume(const AllToAllRow& row, int devices_per_node, double payload) {
  const int used_nodes = std::min(row.nodes, k_top_nodes);
  const std::int64_t reachable = row.experts * used_nodes / row.nodes;
  const double tokens = static_cast<double>(row.tokens) * payload;
  AllToAllVolume volume;
  volume.device_bytes = tokens *
                        expected_distinct(used_nodes * devices_per_node, reachable, row.top_k) *
                        (devices_per_node - 1) / devices_per_node;
  volume.nic_bytes =
      tokens * expected_distinct(used_nodes, reachable, row.top_k) * (row.nodes - 1) / row.nodes;
  return volume;
}

}  // namespace moesim
