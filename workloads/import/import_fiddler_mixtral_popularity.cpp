// Expert popularity of Mixtral-8x7B during prefill, one JSON file per MMLU subject and model
// variant: a window each. The files count white-space words; tokens follow from a layer's
// selections / top_k.
#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>

#include "sim/core/config.h"
#include "sim/core/error.h"
#include "workloads/import/importers.h"

namespace moesim::detail {
namespace {

namespace fs = std::filesystem;
constexpr std::uint64_t k_top_k = 2;

std::vector<fs::path> json_files(const std::string& path) {
  std::vector<fs::path> files;
  if (fs::is_directory(path)) {
    for (const auto& entry : fs::recursive_directory_iterator(path)) {
      if (entry.is_regular_file() && entry.path().extension() == ".json") {
        files.push_back(entry.path());
      }
    }
    std::ranges::sort(files);
  } else {
    files.emplace_back(path);
  }
  if (files.empty()) {
    throw ConfigError(path, "holds no .json file; give a popularity file or the folder of them");
  }
  return files;
}

std::vector<std::vector<std::int64_t>> read_matrix(const std::string& path) {
  const auto json = read_json_file(path);
  ConfigObject object(json, path + "#");
  object.integer("total_input_tokens", 0);
  const auto* matrix = object.raw("expert_popularity");
  if (matrix == nullptr || !matrix->is_array() || matrix->empty()) {
    object.fail("expert_popularity", "needs an array of layers, each an array of counts");
  }
  object.reject_unknown_keys();
  std::vector<std::vector<std::int64_t>> rows;
  for (std::size_t l = 0; l < matrix->size(); ++l) {
    // ConfigObject reads keyed values, so a row is wrapped for its checks and messages.
    const nlohmann::json wrapped = {{"counts", (*matrix)[l]}};
    ConfigObject row(wrapped, path + "#/expert_popularity/" + std::to_string(l));
    rows.push_back(row.integers("counts", 0, 0xFFFFFFFF));
  }
  return rows;
}

LoadWindow window_of(const std::string& path, LoadTrace& trace) {
  const auto rows = read_matrix(path);
  if (trace.windows.empty()) {
    trace.shape.layers = static_cast<int>(rows.size());
    trace.shape.experts = static_cast<int>(rows.front().size());
  }
  if (rows.size() != static_cast<std::size_t>(trace.shape.layers)) {
    throw ConfigError(path + "#/expert_popularity", std::to_string(rows.size()) +
                                                        " layers; the first file has " +
                                                        std::to_string(trace.shape.layers));
  }
  LoadWindow window;
  for (std::size_t l = 0; l < rows.size(); ++l) {
    const std::string where = path + "#/expert_popularity/" + std::to_string(l);
    if (rows[l].size() != static_cast<std::size_t>(trace.shape.experts)) {
      throw ConfigError(where, std::to_string(rows[l].size()) + " experts; the first row has " +
                                   std::to_string(trace.shape.experts));
    }
    const auto sum = static_cast<std::uint64_t>(
        std::accumulate(rows[l].begin(), rows[l].end(), std::int64_t{0}));
    if (sum % k_top_k != 0 || (l > 0 && sum / k_top_k != window.tokens)) {
      throw ConfigError(where, "selections sum to " + std::to_string(sum) +
                                   "; every layer must sum to 2 x the same number of tokens");
    }
    window.tokens = sum / k_top_k;
    for (const auto count : rows[l]) {
      window.counts.push_back(static_cast<std::uint32_t>(count));
    }
  }
  return window;
}

}  // namespace

void import_fiddler_mixtral_popularity(const std::string& path, const std::string& out,
                                       const Progress& progress) {
  LoadTrace trace;
  trace.shape.kind = TraceKind::loads;
  trace.shape.top_k = static_cast<int>(k_top_k);
  trace.metadata = {.model = "Mixtral-8x7B",
                    .source =
                        "efeslab/fiddler, branch popularity @ "
                        "7f82a2d2c1294d84f0c1b6107e38c50547106c2b (prefill of MMLU subjects)",
                    .first_layer = 0,
                    .windows = {}};
  const auto files = json_files(path);
  for (const auto& file : files) {
    trace.windows.push_back(window_of(file.string(), trace));
    trace.metadata.windows.push_back(file.parent_path().filename().string() + "/" +
                                     file.stem().string());
    if (progress) {
      progress(static_cast<double>(trace.windows.size()) / static_cast<double>(files.size()));
    }
  }
  write_load_trace(out, trace);
}

}  // namespace moesim::detail
