#include "calibrate/cuda/host/transfer_grids.h"

#include <array>

#include "calibrate/cuda/host/compute_grids.h"

namespace moesim::bench {
namespace {

constexpr std::array<std::string_view, 3> copy_names{"h2d", "d2h", "d2d"};
constexpr std::array<std::string_view, 4> collective_names{"all_reduce", "all_gather",
                                                           "reduce_scatter", "alltoall"};

const Table& copy_table() {
  static const Table table{"copies", {"op_name", "kernel_source", "host_memory", "busy", "bytes"}};
  return table;
}

const Table& peer_table() {
  static const Table table{"p2p",
                           {"kernel_source", "source_device", "target_device", "busy", "bytes"}};
  return table;
}

const Table& collective_table() {
  static const Table table{
      "nccl", {"op_name", "kernel_source", "nccl_dtype", "num_gpus", "message_elements"}};
  return table;
}

// Powers of `factor` times `first`, up to `last`.
std::vector<std::int64_t> ladder(std::int64_t first, std::int64_t last, std::int64_t factor) {
  std::vector<std::int64_t> sizes;
  for (std::int64_t size = first; size <= last; size *= factor) {
    sizes.push_back(size);
  }
  return sizes;
}

constexpr std::int64_t kib = 1024;
constexpr std::int64_t mib = 1024 * kib;

// Smaller copies end before the other direction's next one is launched.
constexpr std::int64_t smallest_both = 256 * kib;

std::vector<std::int64_t> copy_sizes(bool quick, bool both) {
  return quick ? std::vector{256 * kib, 16 * mib}
               : ladder(both ? smallest_both : kib, 1024 * mib, 4);
}

std::string busy(bool both) { return both ? "both" : "one"; }

}  // namespace

std::vector<CopyCase> copy_grid(bool quick) {
  struct Way {
    CopyKind kind;
    bool pinned;
    bool both;
  };
  // Copies from pageable memory block the calling thread, so both directions at once would time
  // that thread; within a device there is one direction.
  constexpr std::array ways{
      Way{CopyKind::host_to_device, true, false},  Way{CopyKind::device_to_host, true, false},
      Way{CopyKind::host_to_device, true, true},   Way{CopyKind::device_to_host, true, true},
      Way{CopyKind::host_to_device, false, false}, Way{CopyKind::device_to_host, false, false},
      Way{CopyKind::device_to_device, true, false}};
  std::vector<CopyCase> grid;
  for (const Way& way : ways) {
    for (const std::int64_t bytes : copy_sizes(quick, way.both)) {
      grid.push_back({way.kind, way.pinned, way.both, bytes});
    }
  }
  return grid;
}

PlannedCase planned(const CopyCase& copy) {
  const bool within = copy.kind == CopyKind::device_to_device;
  return {
      &copy_table(),
      {std::string(copy_names.at(static_cast<std::size_t>(copy.kind))), "cudaMemcpyAsync",
       within ? "none" : (copy.pinned ? "pinned" : "pageable"), busy(copy.both), text(copy.bytes)},
      Bytes(2 * static_cast<double>(copy.bytes)) + rotation_reserve};
}

std::vector<PeerCase> peer_grid(int devices, bool quick) {
  std::vector<PeerCase> grid;
  for (int source = 0; source < devices; ++source) {
    for (int target = 0; target < devices; ++target) {
      for (const bool both : {false, true}) {
        // Both ways at once is symmetric.
        if (source == target || (both && target < source)) {
          continue;
        }
        for (const std::int64_t bytes : copy_sizes(quick, both)) {
          grid.push_back({source, target, both, bytes});
        }
      }
    }
  }
  return grid;
}

PlannedCase planned(const PeerCase& peer) {
  return {&peer_table(),
          {"cudaMemcpyPeerAsync", text(peer.source), text(peer.target), busy(peer.both),
           text(peer.bytes)},
          Bytes(2 * static_cast<double>(peer.bytes)) + rotation_reserve,
          2};
}

std::vector<CollectiveCase> collective_grid(int devices, bool quick) {
  const auto sizes = quick ? std::vector{64 * kib, 16 * mib} : ladder(256, 256 * mib, 2);
  std::vector<CollectiveCase> grid;
  for (int ranks = 2; ranks <= devices; ranks *= 2) {
    for (const Collective op : {Collective::all_reduce, Collective::all_gather,
                                Collective::reduce_scatter, Collective::all_to_all}) {
      for (const bool int8 : {false, true}) {
        for (const std::int64_t elements : sizes) {
          grid.push_back({op, int8, ranks, elements});
        }
      }
    }
  }
  return grid;
}

PlannedCase planned(const CollectiveCase& c) {
  return {&collective_table(),
          {std::string(collective_names.at(static_cast<std::size_t>(c.op))), "NCCL",
           c.int8 ? "int8" : "half", text(c.devices), text(c.elements)},
          Bytes(2 * static_cast<double>(c.elements) * (c.int8 ? 1 : 2)) + rotation_reserve,
          c.devices};
}

}  // namespace moesim::bench
