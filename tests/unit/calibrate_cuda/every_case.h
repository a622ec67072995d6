// All cases of all families, as the program plans them.
#pragma once

#include <vector>

#include "calibrate/cuda/host/attention_grids.h"
#include "calibrate/cuda/host/compute_grids.h"
#include "calibrate/cuda/host/small_grids.h"
#include "calibrate/cuda/host/transfer_grids.h"

namespace moesim::test {

template <class Case>
void append(std::vector<bench::PlannedCase>& all, const std::vector<Case>& grid) {
  for (const Case& item : grid) {
    all.push_back(planned(item));
  }
}

inline std::vector<bench::PlannedCase> every_case(bool quick, int devices) {
  using namespace bench;
  std::vector<PlannedCase> all;
  append(all, gemm_grid(quick));
  append(all, moe_grid(quick));
  for (const bool context : {true, false}) {
    append(all, attention_grid(context, quick));
    append(all, mla_grid(context, quick));
  }
  append(all, copy_grid(quick));
  append(all, peer_grid(devices, quick));
  append(all, collective_grid(devices, quick));
  append(all, permute_grid(quick));
  append(all, gate_grid(quick));
  append(all, norm_grid(quick));
  append(all, convert_grid(quick));
  append(all, launch_grid(quick));
  append(all, sharing_grid(quick));
  return all;
}

}  // namespace moesim::test
