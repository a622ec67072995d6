// moesim trace: make, import and look at routing traces.
#include <array>
#include <iostream>
#include <nlohmann/json.hpp>

#include "sim/app/trace.h"
#include "sim/cli/command_line.h"
#include "sim/core/output_file.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

struct Options {
  CommonOptions common;
  std::string path;
  std::string out;
  std::uint64_t seed = 1;
  TraceGenerateOptions generate;
  TraceImportOptions import;
  TraceFitOptions fit;
};

int import(const Options& options) {
  ProgressBar progress("importing");
  TraceImportOptions task = options.import;
  task.path = options.path;
  task.out = options.out;
  task.progress = [&progress](double share) { progress.show(share); };
  trace_import(task);
  return 0;
}

int generate(const Options& options) {
  ProgressBar progress("generating");
  TraceGenerateOptions task = options.generate;
  task.out = options.out;
  task.seed = options.seed;
  task.profiles = catalogs_of(options.common).routing_profiles;
  task.threads = options.common.threads;
  task.progress = [&progress](double share) { progress.show(share); };
  trace_generate(task);
  return 0;
}

int fit(const Options& options) {
  check_outputs(
      std::array{NamedFile{"--out", options.out}},
      std::array{NamedFile{"trace", options.path}, NamedFile{"--start", options.fit.start}});
  TraceFitOptions task = options.fit;
  task.path = options.path;
  task.seed = options.seed;
  task.profiles = catalogs_of(options.common).routing_profiles;
  task.threads = options.common.threads;
  TraceFitResult result;
  {
    ProgressBar progress("fitting");
    task.progress = [&progress](double share) { progress.show(share); };
    result = trace_fit(task);
  }
  write_text_file(options.out, profile_text(result.profile));
  if (options.common.json) {
    std::cout << to_json(result, options.out).dump(1) << "\n";
    return 0;
  }
  Table table({"last round, mean over layers of |model - trace|", ""});
  table.row({"recall of a token-id table", percent(result.misses.token_recall)});
  table.row({"overlap at lag 32", percent(result.misses.overlap_far)});
  table.row({"overlap at lag 1", percent(result.misses.overlap_near)});
  std::cout << table.text();
  return 0;
}

std::string batch_table(const std::vector<BatchImbalance>& batches) {
  Table table({"imbalance (max/mean over experts)", "consecutive tokens", "p95", "random tokens"});
  for (const BatchImbalance& batch : batches) {
    table.row({"batch of " + std::to_string(batch.tokens), human_count(batch.consecutive),
               human_count(batch.consecutive_p95), human_count(batch.random)});
  }
  return table.text();
}

int stats(const Options& options) {
  TraceStatsResult result;
  {
    ProgressBar progress("measuring");
    result = trace_stats({.path = options.path,
                          .seed = options.seed,
                          .threads = options.common.threads,
                          .progress = [&progress](double share) { progress.show(share); }});
  }
  if (options.common.json) {
    std::cout << to_json(result).dump(1) << "\n";
    return 0;
  }
  Table table({"statistic", "layer", "parameter", "value", "unit"});
  for (const StatisticRow& row : result.rows) {
    table.row({row.statistic, row.layer, row.parameter, human_count(row.value), row.unit});
  }
  std::cout << table.text() << "\n" << batch_table(result.batches);
  return 0;
}

int info(const Options& options) {
  const Json document = to_json(trace_info(options.path));
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
  for (const auto& [family, summary] : trace_families()) {
    text += "  " + std::string(family) + ": " + std::string(summary) + "\n";
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
  generate_sub->add_option("--profile", options->generate.profile, "catalog name or .json file")
      ->required();
  generate_sub->add_option("--tokens", options->generate.tokens, "how many")
      ->required()
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 32));
  generate_sub->add_option("--seed", options->seed)->capture_default_str();
  generate_sub->add_option("--out", options->out, "trace to write")->required()->type_name("FILE");
  options->common.add_threads(*generate_sub);
  options->common.add_catalog(*generate_sub);
  generate_sub->footer(
      "Example:\n  moesim trace generate --profile "
      "deepseek-v3 --tokens 50000 --out v3.moetrace");
  on_parse(*generate_sub, options, command, generate);

  CLI::App* import_sub = sub->add_subcommand("import", "read a public data set");
  import_sub->add_option("family", options->import.family, "which data set")->required();
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
                      "profile that gives what is not fitted: router groups, "
                      "correlations, ...");
  fit_sub->add_option("--rounds", options->fit.rounds, "of matching moments")
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
