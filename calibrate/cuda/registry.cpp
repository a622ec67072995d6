// One row per family; the command line's list, its --only and the runs follow this table.
#include <array>

#include "calibrate/cuda/families.h"
#include "calibrate/cuda/host/attention_grids.h"
#include "calibrate/cuda/host/compute_grids.h"
#include "calibrate/cuda/host/small_grids.h"
#include "calibrate/cuda/host/transfer_grids.h"

namespace moesim::bench {
namespace {

template <class Case>
void append(std::vector<PlannedCase>& all, const std::vector<Case>& grid) {
  for (const Case& item : grid) {
    all.push_back(planned(item));
  }
}

template <class... Grids>
std::vector<PlannedCase> plan_of(const Grids&... grids) {
  std::vector<PlannedCase> all;
  (append(all, grids), ...);
  return all;
}

}  // namespace

const std::vector<Family>& families() {
  static const std::vector<Family> table{
      {"gemm", "dense products: fp32, tf32, fp16, bf16, fp8, fp8 in blocks, int8 (cuBLASLt)",
       [](int, bool quick) { return plan_of(gemm_grid(quick)); }, run_gemm},
      {"moe", "expert layers of one rank: permute, products, SwiGLU, weighted sum",
       [](int, bool quick) { return plan_of(moe_grid(quick)); }, run_moe},
      {"attention", "prefill and decode, grouped-query and latent (own reference kernels)",
       [](int, bool quick) {
         return plan_of(attention_grid(true, quick), attention_grid(false, quick),
                        mla_grid(true, quick), mla_grid(false, quick));
       },
       run_attention},
      {"copies", "host to device, device to host, within the device; pinned and pageable",
       [](int, bool quick) { return plan_of(copy_grid(quick)); }, run_copies},
      {"collectives", "NCCL collectives and copies between the devices of this node",
       [](int devices, bool quick) {
         return plan_of(collective_grid(devices, quick), peer_grid(devices, quick));
       },
       run_collectives},
      {"small", "permute, router gate, norm, softmax, conversions of formats",
       [](int, bool quick) {
         return plan_of(permute_grid(quick), gate_grid(quick), norm_grid(quick),
                        convert_grid(quick));
       },
       run_small},
      {"launch", "cost of launching kernels and graphs",
       [](int, bool quick) { return plan_of(launch_grid(quick)); }, run_launch},
      {"sharing", "products while copies or collectives run, and the other way round",
       [](int, bool quick) { return plan_of(sharing_grid(quick)); }, run_sharing}};
  return table;
}

}  // namespace moesim::bench
