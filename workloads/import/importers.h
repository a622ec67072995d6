// Importers of public routing data, one per family. A family's name is that of its data set.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "workloads/trace/moetrace.h"

namespace moesim {

struct TraceImporter {
  std::string_view family;
  std::string_view summary;  // what PATH must be
  // Reads PATH, writes OUT. Throws ConfigError naming file and row or byte.
  void (*run)(const std::string& path, const std::string& out, const Progress& progress);
};

// In the order in which they are documented.
const std::vector<TraceImporter>& trace_importers();

namespace detail {
void import_moe_beyond_deepseek_v2_lite(const std::string& path, const std::string& out,
                                        const Progress& progress);
void import_fiddler_mixtral_popularity(const std::string& path, const std::string& out,
                                       const Progress& progress);
void import_step_batches(const std::string& path, const std::string& out, const Progress& progress);
void import_vllm_layer0_route_logs(const std::string& path, const std::string& out,
                                   const Progress& progress);
}  // namespace detail

}  // namespace moesim
