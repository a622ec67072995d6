// The cases of data movement: copies, copies between devices, collectives.
#pragma once

#include <vector>

#include "calibrate/cuda/host/bench_case.h"

namespace moesim::bench {

enum class CopyKind { host_to_device, device_to_host, device_to_device };
struct CopyCase {
  CopyKind kind = CopyKind::host_to_device;
  bool pinned = true;  // of host memory; true for copies within the device
  bool both = false;   // the other direction is as busy at the same time
  std::int64_t bytes = 0;
};
std::vector<CopyCase> copy_grid(bool quick);
PlannedCase planned(const CopyCase& copy);

// Between two devices of the node; `both`: the target copies to the source at the same time.
struct PeerCase {
  int source = 0;
  int target = 1;
  bool both = false;
  std::int64_t bytes = 0;
};
std::vector<PeerCase> peer_grid(int devices, bool quick);
PlannedCase planned(const PeerCase& peer);

// `elements` are those of the larger buffer of a rank, as nccl-tests counts: gathered results of
// an all-gather, input of a reduce-scatter; a multiple of the devices.
enum class Collective { all_reduce, all_gather, reduce_scatter, all_to_all };
struct CollectiveCase {
  Collective op = Collective::all_reduce;
  bool int8 = false;  // else half
  int devices = 2;
  std::int64_t elements = 0;
};
std::vector<CollectiveCase> collective_grid(int devices, bool quick);
PlannedCase planned(const CollectiveCase& collective);

}  // namespace moesim::bench
