#include "workloads/import/importers.h"

namespace moesim {

const std::vector<TraceImporter>& trace_importers() {
  static const std::vector<TraceImporter> importers = {
      {"moe_beyond_deepseek_v2_lite",
       "folder with experts.u8, token_type.u16 and index.csv: tokens, 26 layers x 6 of 64",
       detail::import_moe_beyond_deepseek_v2_lite},
      {"fiddler_mixtral_popularity",
       "JSON file or folder of them (searched downwards): load matrices, one window per file",
       detail::import_fiddler_mixtral_popularity},
      {"step_batches", "CSV file of one layer of one serving iteration, e0.. per token",
       detail::import_step_batches},
      {"vllm_layer0_route_logs", "CSV file of layer 0 with ids e0.. and gate weights w0..",
       detail::import_vllm_layer0_route_logs},
  };
  return importers;
}

}  // namespace moesim
