// moesim trace: make, import and look at routing traces.
#include <array>
#include <iostream>
#include <nlohmann/json.hpp>

#include "sim/cli/command_line.h"
#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/core/output_file.h"
#include "workloads/import/importers.h"
#include "workloads/trace/trace_tools.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

struct Options {
  CommonOptions common;
  std::string family;
  std::string path;
  std::string out;
  std::string profile;
  std::int64_t tokens = 0;
  std::uint64_t seed = 1;
  TraceFitRequest fit;
};

int import(const Options& options) {
  check_outputs(std::array{NamedFile{"--out", options.out}},
                std::array{NamedFile{"path", options.path}});
  ProgressBar progress("importing");
  import_trace(options.family, options.path, options.out,
               [&](double share) { progress.show(share); });
  return 0;
}

int generate(const Options& options) {
  check_outputs(std::array{NamedFile{"--out", options.out}},
                std::array{NamedFile{"--profile", options.profile}});
  ProgressBar progress("generating");
  generate_trace(options.profile, catalogs_of(options.common).routing_profiles, options.tokens,
                 options.seed, options.common.threads, options.out,
                 [&](double share) { progress.show(share); });
  return 0;
}

int fit(const Options& options) {
  check_outputs(
      std::array{NamedFile{"--out", options.out}},
      std::array{NamedFile{"trace", options.path}, NamedFile{"--start", options.fit.start}});
  TraceFitRequest request = options.fit;
  request.folders = catalogs_of(options.common).routing_profiles;
  request.options.seed = options.seed;
  request.options.threads = options.common.threads;
  FitMisses misses;
  GeneratorProfile profile;
  {
    ProgressBar progress("fitting");
    profile = fit_trace(options.path, request, [&](int round, const FitMisses& found) {
      misses = found;
      progress.show((round + 1.0) / request.options.rounds);
    });
  }
  write_text_file(options.out, profile_text(profile));
  if (options.common.json) {
    const Json document{{"profile", options.out},
                        {"rounds", request.options.rounds},
                        {"token_recall_miss", misses.token_recall},
                        {"overlap_far_miss", misses.overlap_far},
                        {"overlap_near_miss", misses.overlap_near}};
    std::cout << document.dump(1) << "\n";
    return 0;
  }
  Table table({"last round, mean over layers of |model - trace|", ""});
  table.row({"recall of a token-id table", percent(misses.token_recall)});
  table.row({"overlap at lag 32", percent(misses.overlap_far)});
  table.row({"overlap at lag 1", percent(misses.overlap_near)});
  std::cout << table.text();
  return 0;
}

std::string batch_table(const std::vector<StatisticRow>& rows) {
  Table table({"imbalance (max/mean over experts)", "consecutive tokens", "p95", "random tokens"});
  for (const BatchImbalance& batch : imbalance_by_batch(rows)) {
    table.row({"batch of " + std::to_string(batch.tokens), human_count(batch.consecutive),
               human_count(batch.consecutive_p95), human_count(batch.random)});
  }
  return table.text();
}

int stats(const Options& options) {
  std::vector<StatisticRow> rows;
  {
    ProgressBar progress("measuring");
    rows = trace_statistics(options.path, options.seed, options.common.threads,
                            [&](double share) { progress.show(share); });
  }
  if (options.common.json) {
    Json document{{"rows", Json::array()}};
    for (const StatisticRow& row : rows) {
      document["rows"].push_back({{"statistic", row.statistic},
                                  {"layer", row.layer},
                                  {"parameter", row.parameter},
                                  {"value", row.value},
                                  {"unit", row.unit}});
    }
    std::cout << document.dump(1) << "\n";
    return 0;
  }
  Table table({"statistic", "layer", "parameter", "value", "unit"});
  for (const StatisticRow& row : rows) {
    table.row({row.statistic, row.layer, row.parameter, human_count(row.value), row.unit});
  }
  std::cout << table.text() << "\n" << batch_table(rows);
  return 0;
}

int info(const Options& options) {
  const TraceInfo trace = trace_info(options.path);
  const bool tokens = trace.shape.kind == TraceKind::tokens;
  const Json document{{"kind", tokens ? "tokens" : "loads"},
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
  if (options.common.json) {
    std::cout << document.dump(1) << "\n";
    return 0;
  }
  Table table({"field", "value"});
  for (const auto& item : document.items()) {
    table.row({item.key(),
               item.value().is_string() ? item.value().get<std::string>() : item.value().dump()});
  }
  std::cout << table.text();
  return 0;
}

std::string family_list() {
  std::string text = "Families:\n";
  for (const TraceImporter& importer : trace_importers()) {
    text += "  " + std::string(importer.family) + ": " + std::string(importer.summary) + "\n";
  }
  return text;
}

using Action = int (*)(const Options&);

void on_parse(CLI::App& sub, const std::shared_ptr<Options>& options, Command& command,
              Action action) {
  sub.callback([options, &command, action] {
    command.run = [options, action] { return action(*options); };
  });
}

}  // namespace

void add_trace_command(CLI::App& app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* sub = app.add_subcommand("trace", "routing traces: generate, import, stats, info, fit");
  sub->require_subcommand(1);

  CLI::App* generate_sub = sub->add_subcommand("generate", "draw tokens from a routing profile");
  generate_sub->add_option("--profile", options->profile, "catalog name or .json file")->required();
  generate_sub->add_option("--tokens", options->tokens, "how many")
      ->required()
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 32));
  generate_sub->add_option("--seed", options->seed)->capture_default_str();
  generate_sub->add_option("--out", options->out, "trace to write")->required()->type_name("FILE");
  options->common.add_threads(*generate_sub);
  options->common.add_catalog(*generate_sub);
  generate_sub->footer(
      "Example:\n  moesim trace generate --profile deepseek-v3 --tokens 50000 --out v3.moetrace");
  on_parse(*generate_sub, options, command, generate);

  CLI::App* import_sub = sub->add_subcommand("import", "read a public data set");
  import_sub->add_option("family", options->family, "which data set")->required();
  import_sub->add_option("path", options->path, "where it is")->required();
  import_sub->add_option("--out", options->out, "trace to write")->required()->type_name("FILE");
  import_sub->footer(family_list());
  on_parse(*import_sub, options, command, import);

  CLI::App* stats_sub = sub->add_subcommand("stats", "imbalance, locality, affinity");
  stats_sub->add_option("trace", options->path, "a .moetrace file")->required()->type_name("FILE");
  stats_sub->add_option("--seed", options->seed, "of the random batches")->capture_default_str();
  options->common.add_json(*stats_sub);
  options->common.add_threads(*stats_sub);
  stats_sub->footer("Example:\n  moesim trace stats v2lite.moetrace");
  on_parse(*stats_sub, options, command, stats);

  CLI::App* info_sub = sub->add_subcommand("info", "verify a trace and say what it holds");
  info_sub->add_option("trace", options->path, "a .moetrace file")->required()->type_name("FILE");
  options->common.add_json(*info_sub);
  on_parse(*info_sub, options, command, info);

  CLI::App* fit_sub = sub->add_subcommand("fit", "a routing profile like a token trace");
  fit_sub->add_option("trace", options->path, "a .moetrace file")->required()->type_name("FILE");
  fit_sub->add_option("--out", options->out, "profile to write")->required()->type_name("FILE");
  fit_sub->add_option("--name", options->fit.name, "of the profile")->default_val("fitted");
  fit_sub->add_option("--date", options->fit.date, "of the fit, YYYY-MM or YYYY-MM-DD")
      ->default_val("undated");
  fit_sub->add_option("--start", options->fit.start,
                      "profile that gives what is not fitted: router groups, correlations, ...");
  fit_sub->add_option("--rounds", options->fit.options.rounds, "of matching moments")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  fit_sub->add_option("--seed", options->seed, "of the drawn tokens")->capture_default_str();
  options->common.add_json(*fit_sub);
  options->common.add_threads(*fit_sub);
  options->common.add_catalog(*fit_sub);
  fit_sub->footer(
      "Example:\n"
      "  moesim trace fit mine.moetrace --out mine.json --name mine\n"
      "  moesim simulate SCENARIO --set /workload/routing=profile:mine.json");
  on_parse(*fit_sub, options, command, fit);
}

}  // namespace moesim
