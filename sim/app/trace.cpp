#include "sim/app/trace.h"

#include <array>
#include <nlohmann/json.hpp>

#include "sim/app/option_check.h"
#include "sim/core/output_file.h"
#include "workloads/import/importers.h"

namespace moesim {

using Json = nlohmann::json;

void trace_generate(const TraceGenerateOptions& options) {
  constexpr double most = 4294967296.0;
  check_option("--tokens", static_cast<double>(options.tokens), 1, most);
  check_outputs(std::array{NamedFile{"--out", options.out}},
                std::array{NamedFile{"--profile", options.profile}});
  generate_trace(options.profile, options.profiles, options.tokens, options.seed, options.threads,
                 options.out, options.progress);
}

void trace_import(const TraceImportOptions& options) {
  check_outputs(std::array{NamedFile{"--out", options.out}},
                std::array{NamedFile{"path", options.path}});
  import_trace(options.family, options.path, options.out, options.progress);
}

std::vector<std::pair<std::string_view, std::string_view>> trace_families() {
  std::vector<std::pair<std::string_view, std::string_view>> families;
  for (const TraceImporter& importer : trace_importers()) {
    families.emplace_back(importer.family, importer.summary);
  }
  return families;
}

TraceStatsResult trace_stats(const TraceStatsOptions& options) {
  TraceStatsResult result;
  result.rows = trace_statistics(options.path, options.seed, options.threads, options.progress);
  result.batches = imbalance_by_batch(result.rows);
  return result;
}

Json to_json(const TraceStatsResult& result) {
  Json document{{"rows", Json::array()}};
  for (const StatisticRow& row : result.rows) {
    document["rows"].push_back({{"statistic", row.statistic},
                                {"layer", row.layer},
                                {"parameter", row.parameter},
                                {"value", row.value},
                                {"unit", row.unit}});
  }
  return document;
}

Json to_json(const TraceInfo& trace) {
  const bool tokens = trace.shape.kind == TraceKind::tokens;
  return {{"kind", tokens ? "tokens" : "loads"},
          {"model", trace.metadata.model},
          {"source", trace.metadata.source},
          {"first_layer", trace.metadata.first_layer},
          {"layers", trace.shape.layers},
          {"experts", trace.shape.experts},
          {"top_k", trace.shape.top_k},
          {"ranked", trace.shape.ranked},
          {tokens ? "tokens" : "windows", trace.items},
          {"requests", trace.requests},
          {"chunks", trace.chunks},
          {"file_bytes", trace.file_bytes}};
}

TraceFitResult trace_fit(const TraceFitOptions& options) {
  constexpr double most = 1000;
  check_option("--rounds", options.rounds, 1, most);
  TraceFitRequest request{.name = options.name,
                          .date = options.date,
                          .start = options.start,
                          .folders = options.profiles,
                          .options = {}};
  request.options.rounds = options.rounds;
  request.options.seed = options.seed;
  request.options.threads = options.threads;
  TraceFitResult result;
  result.rounds = options.rounds;
  result.profile = fit_trace(options.path, request, [&](int round, const FitMisses& found) {
    result.misses = found;
    tell(options.progress, static_cast<std::size_t>(round) + 1,
         static_cast<std::size_t>(options.rounds));
  });
  return result;
}

Json to_json(const TraceFitResult& result, const std::string& profile) {
  return {{"profile", profile},
          {"rounds", result.rounds},
          {"token_recall_miss", result.misses.token_recall},
          {"overlap_far_miss", result.misses.overlap_far},
          {"overlap_near_miss", result.misses.overlap_near}};
}

}  // namespace moesim
