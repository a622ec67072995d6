// Small models and a made-up host for the tests of calibrate/cpu.
#pragma once

#include <string>
#include <vector>

#include "calibrate/cpu/host_profile.h"
#include "calibrate/cpu/moe_plan.h"

namespace moesim::test {

inline MoeConfig small_model() {
  MoeConfig c;
  c.shape = {64, 32};
  c.experts = 8;
  c.top_k = 2;
  c.layers = 2;
  c.tokens_per_rank = 16;
  return c;
}

// Every way in which a plan can be run.
inline std::vector<MoeConfig> all_kinds() {
  std::vector<MoeConfig> kinds;
  for (const int ranks : {1, 2}) {
    for (const std::int64_t tokens : {1, 7, 33}) {
      for (const std::string placement : {"contiguous", "round_robin"}) {
        for (const HostOverlap overlap :
             {HostOverlap::none, HostOverlap::arrival, HostOverlap::two_batch}) {
          MoeConfig c = small_model();
          c.ranks = ranks;
          c.tokens_per_rank = tokens;
          c.placement = placement;
          c.redundant = ranks == 2 && tokens == 7 ? 2 : 0;
          c.overlap = overlap;
          if (overlap != HostOverlap::two_batch || (ranks == 1 && tokens > 1)) {
            kinds.push_back(c);
          }
        }
      }
    }
  }
  return kinds;
}

inline KernelTimes kernel(double per_row_s, double per_weight_s, double far_s_per_byte) {
  KernelTimes k;
  k.fixed_s = 1e-6;
  k.per_row_s = per_row_s;
  k.contention = 1.1;
  k.per_weight_s = {{}, {}, false, true};
  if (per_weight_s > 0) {
    k.per_weight_s.at = {1, 8, 64};
    k.per_weight_s.value = {per_weight_s, 4 * per_weight_s, 20 * per_weight_s};
  }
  k.alone_s_per_byte = {{1e5, 1e7}, {0, far_s_per_byte}, true, false};
  k.both_s_per_byte = {{1e5, 1e7}, {0, 1.5 * far_s_per_byte}, true, false};
  k.largest_rows = 64;
  return k;
}

inline HostProfile made_up_host() {
  HostProfile p;
  p.source = "made up, 2 processors, 2026-01-01";
  p.date = "2026-01-01";
  p.expert = kernel(1e-8, 5e-11, 4e-11);
  p.gate = kernel(1e-8, 5e-11, 4e-11);
  p.dispatch_local = kernel(2e-8, 0, 2e-11);
  p.dispatch_remote = kernel(4e-8, 0, 4e-11);
  p.combine_local = kernel(2e-8, 0, 2e-11);
  p.combine_remote = kernel(4e-8, 0, 4e-11);
  p.disk = kernel(1e-5, 0, 3e-10);
  p.page_cache = kernel(1e-6, 0, 1e-10);
  p.handoff_s = 1e-7;
  p.peak_flops_per_s = 1e11;
  p.peak_bytes_per_s = 2e10;
  return p;
}

}  // namespace moesim::test
