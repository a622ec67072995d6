#include "workloads/trace/trace_tools.h"

#include <algorithm>

#include "sim/core/error.h"
#include "workloads/generator/generator.h"
#include "workloads/import/importers.h"

namespace moesim {

void import_trace(std::string_view family, const std::string& path, const std::string& out,
                  const Progress& progress) {
  std::vector<std::string_view> families;
  for (const TraceImporter& importer : trace_importers()) {
    if (importer.family == family) {
      importer.run(path, out, progress);
      return;
    }
    families.push_back(importer.family);
  }
  throw ConfigError("trace family",
                    "\"" + std::string(family) + "\" is not one of: " + joined(families));
}

void generate_trace(const std::string& profile, const std::vector<std::string>& profile_dirs,
                    std::int64_t tokens, std::uint64_t seed, int threads, const std::string& out,
                    const Progress& progress) {
  constexpr std::int64_t most = std::int64_t{1} << 40;
  if (tokens < 1 || tokens > most) {
    throw ConfigError("--tokens", std::to_string(tokens) + "; needs 1 to 2^40");
  }
  const RoutingGenerator generator(load_profile(profile, profile_dirs, "profile"), threads);
  const GeneratorProfile& used = generator.profile();
  TraceWriter writer(out,
                     {.layers = used.router.layers,
                      .experts = used.router.experts,
                      .top_k = used.router.top_k,
                      .ranked = true},
                     {.model = used.model,
                      .source = "generated from profile " + used.name + " of " + used.date +
                                ", seed " + std::to_string(seed),
                      .first_layer = used.first_layer,
                      .windows = {}});
  // Requests are routed some at a time, so that memory does not grow with the trace.
  constexpr std::int64_t at_once = 16 * k_trace_chunk_tokens;
  const auto runs = generator.draw_requests(tokens, seed);
  std::int64_t done = 0;
  for (std::size_t first = 0; first < runs.size();) {
    std::size_t last = first;
    std::int64_t some = 0;
    for (; last < runs.size() && some < at_once; ++last) {
      some += runs[last].count;
    }
    writer.append(generator.route(std::span(runs).subspan(first, last - first), seed, threads));
    done += some;
    first = last;
    if (progress) {
      progress(static_cast<double>(done) / static_cast<double>(tokens));
    }
  }
  writer.finish();
}

std::vector<StatisticRow> trace_statistics(const std::string& path, std::uint64_t seed, int threads,
                                           const Progress& progress) {
  const TraceFile file(path);
  const TraceView& view = file.view();
  if (view.shape().kind == TraceKind::loads) {
    return load_statistics(view.loads());
  }
  return token_statistics(view.all(), view.metadata().first_layer, seed, threads, progress);
}

GeneratorProfile fit_trace(const std::string& path, const TraceFitRequest& request,
                           const std::function<void(int round, FitMisses)>& report) {
  const TraceFile file(path);
  const TraceView& view = file.view();
  if (view.shape().kind == TraceKind::loads) {
    throw ConfigError(path, "holds loads; a profile is fitted to the tokens of a token trace");
  }
  const RoutedTokens tokens = view.all();
  GeneratorProfile profile = request.start.empty()
                                 ? start_of_fit(tokens, view.metadata())
                                 : load_profile(request.start, request.folders, "--start");
  profile.name = request.name;
  profile.model = view.metadata().model;
  profile.source = "fitted to a trace: " + view.metadata().source;
  profile.date = request.date;
  profile.fit_range = "loads and amplitudes: " + std::to_string(tokens.tokens()) + " tokens, " +
                      std::to_string(tokens.layers) + " layers";
  if (!request.start.empty()) {
    profile.notes = {"measured: load cv and max_over_mean per layer",
                     "fitted: amplitudes per layer (recall of a token-id table, overlap at lags 1 "
                     "and 32)",
                     "all else: as in " + request.start};
  }
  return fit_profile(tokens, std::move(profile), request.options, report);
}

TraceInfo trace_info(const std::string& path, const Progress& progress) {
  const TraceFile file(path, progress);
  const TraceView& view = file.view();
  TraceInfo info{.shape = view.shape(),
                 .metadata = view.metadata(),
                 .items = view.items(),
                 .requests = 0,
                 .chunks = view.chunks(),
                 .file_bytes = file.bytes()};
  for (std::int64_t t = 0; view.shape().kind == TraceKind::tokens && t < view.items(); ++t) {
    const bool begins = t == 0 || view.request(t) != view.request(t - 1) ||
                        view.position(t) <= view.position(t - 1);
    info.requests += begins ? 1 : 0;
  }
  return info;
}

}  // namespace moesim
