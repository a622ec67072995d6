// Bytes that exchanges move, on average over routings.
#include <algorithm>
#include <cmath>

#include "calibrate/tables/comm_rows.h"
#include "sim/engine/exchange/all_to_all.h"

namespace moesim {

namespace {

// Mean of the largest of n standard normals (Blom's approximation of order statistics; the quantile
// by Newton's method on erfc).
double largest_of_normals(int n) {
  if (n < 2) {
    return 0.0;
  }
  const double below = (n - 0.375) / (n + 0.25);
  constexpr double k_root_two_pi = 2.5066282746310002;
  double x = 1.0;
  constexpr int k_steps = 50;
  for (int i = 0; i < k_steps; ++i) {
    const double density = std::exp(-0.5 * x * x) / k_root_two_pi;
    x -= (1.0 - 0.5 * std::erfc(x / std::sqrt(2.0)) - below) / density;
  }
  return x;
}

}  // namespace

double copy_bytes(const AllToAllRow& row, DType dispatch) {
  const TokenPayload payload{row.hidden, row.top_k, dispatch, DType::bf16};
  const AllToAllEntry& entry =
      find_all_to_all_algorithm(row.algorithm.substr(0, row.algorithm.find('.')), "measured row");
  return (row.direction == Direction::dispatch ? entry.dispatch_bytes(payload)
                                               : entry.combine_bytes(payload))
      .si();
}

const CommProfile* system_of(const CommRow& row, const std::vector<CommProfile>& systems) {
  const auto found = std::ranges::find_if(systems, [&](const CommProfile& system) {
    return system.device == row.system && system.fabric == row.fabric;
  });
  return found == systems.end() ? nullptr : &*found;
}

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
  const auto crossing = [&](const AllToAllVolume& v) {
    return std::max(v.device_bytes / system.device_link.si(), v.nic_bytes / system.nic.si());
  };
  return crossing(row.all_to_all.volume) + (row.back ? crossing(row.combine.volume) : 0.0);
}

AllToAllVolume low_latency_volume(const AllToAllRow& row, int devices_per_node, double payload) {
  const double copies = static_cast<double>(row.tokens) * row.top_k * payload;
  AllToAllVolume volume;
  volume.device_bytes = copies * (devices_per_node - 1) / row.ranks;
  volume.nic_bytes = copies * (row.ranks - devices_per_node) / row.ranks;
  volume.stream_bytes = copies / static_cast<double>(row.experts);
  return volume;
}

AllToAllVolume busiest_low_latency_volume(const AllToAllRow& row, int devices_per_node,
                                          double payload) {
  AllToAllVolume volume = low_latency_volume(row, devices_per_node, payload);
  // What a rank receives is a sum over many tokens: normal, with the variance of picking top_k
  // experts without repetition.
  const double share = 1.0 / row.ranks;
  const auto experts = static_cast<double>(row.experts);
  const double per_token =
      row.top_k * share * (1.0 - share) * (experts - row.top_k) / std::max(1.0, experts - 1.0);
  const double deviations = largest_of_normals(row.ranks);
  const auto spread = [&](int sources) {
    return deviations * std::sqrt(static_cast<double>(row.tokens) * sources * per_token) * payload;
  };
  volume.device_bytes += spread(devices_per_node - 1);
  volume.nic_bytes += spread(row.ranks - devices_per_node);
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
