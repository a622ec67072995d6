// What `moesim trace ...` does, as functions.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "workloads/generator/profile_fit.h"
#include "workloads/statistics/trace_statistics.h"
#include "workloads/trace/moetrace.h"

namespace moesim {

// Throws ConfigError for an unknown family (listing them) or wrong data.
void import_trace(std::string_view family, const std::string& path, const std::string& out,
                  const Progress& progress = {});

// profile: a name found in profile_dirs, or the path of a .json file. The same bytes for any number
// of threads.
void generate_trace(const std::string& profile, const std::vector<std::string>& profile_dirs,
                    std::int64_t tokens, std::uint64_t seed, int threads, const std::string& out,
                    const Progress& progress = {});

// Of a token trace or a load trace.
std::vector<StatisticRow> trace_statistics(const std::string& path, std::uint64_t seed = 0,
                                           int threads = 1, const Progress& progress = {});

struct TraceFitRequest {
  std::string name;   // of the profile
  std::string date;   // of the fit
  std::string start;  // profile to start from (name or .json); empty: see start_of_fit
  std::vector<std::string> folders;  // in which its name is looked up
  ProfileFitOptions options;
};
// A profile like the token trace `path`. Throws ConfigError for load traces, too short ones, and a
// start of another shape.
GeneratorProfile fit_trace(const std::string& path, const TraceFitRequest& request,
                           const std::function<void(int round, FitMisses)>& report = {});

struct TraceInfo {
  TraceShape shape;
  TraceMetadata metadata;
  std::int64_t items = 0;  // tokens, or windows
  std::int64_t requests = 0;
  std::int64_t chunks = 0;
  std::uint64_t file_bytes = 0;
};
// Verifies the whole file: throws ConfigError when it is damaged.
TraceInfo trace_info(const std::string& path, const Progress& progress = {});

}  // namespace moesim
