// What `moesim trace` does: routing traces are made, imported, measured, described, and fitted to.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/core/progress.h"
#include "workloads/trace/trace_tools.h"

namespace moesim {

struct TraceGenerateOptions {
  std::string profile = {};                // name, or path of a .json file
  std::vector<std::string> profiles = {};  // folders in which the name is looked up
  std::int64_t tokens = 0;
  std::string out = {};  // .moetrace file
  std::uint64_t seed = 1;
  int threads = 1;  // the file does not depend on it
  Progress progress = {};
};
// Throws ConfigError, std::system_error when the disk fails; there is no half a file then.
void trace_generate(const TraceGenerateOptions& options);

struct TraceImportOptions {
  std::string family = {};  // of trace_families()
  std::string path = {};
  std::string out = {};  // .moetrace file
  Progress progress = {};
};
// Throws as trace_generate does.
void trace_import(const TraceImportOptions& options);
// Name of every family, and what its path must be.
std::vector<std::pair<std::string_view, std::string_view>> trace_families();

struct TraceStatsOptions {
  std::string path = {};
  std::uint64_t seed = 1;  // of the random batches
  int threads = 1;         // results do not depend on it
  Progress progress = {};
};
struct TraceStatsResult {
  std::vector<StatisticRow> rows;
  std::vector<BatchImbalance> batches;  // the same imbalances by batch size; of token traces
};
TraceStatsResult trace_stats(const TraceStatsOptions& options);
nlohmann::json to_json(const TraceStatsResult& result);

// trace_info(path) verifies a trace and says what it holds.
nlohmann::json to_json(const TraceInfo& trace);

struct TraceFitOptions {
  std::string path = {};         // .moetrace file of tokens
  std::string name = "fitted";   // of the profile
  std::string date = "undated";  // YYYY-MM or YYYY-MM-DD
  std::string start = {};        // profile that gives what is not fitted: name or .json file
  std::vector<std::string> profiles = {};  // folders in which its name is looked up
  int rounds = 10;                         // of matching moments
  std::uint64_t seed = 1;                  // of the drawn tokens
  int threads = 1;                         // results do not depend on it
  Progress progress = {};
};
struct TraceFitResult {
  GeneratorProfile profile;  // profile_text() is its file
  int rounds = 0;
  FitMisses misses;  // of the last round
};
TraceFitResult trace_fit(const TraceFitOptions& options);
// `profile`: where it has been written.
nlohmann::json to_json(const TraceFitResult& result, const std::string& profile);

}  // namespace moesim
