#include "sim/app/validate_steps.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "calibrate/fit/fit_errors.h"
#include "calibrate/validate/judged_point.h"
#include "hardware/device.h"
#include "sim/app/simulate.h"
#include "sim/core/catalog.h"
#include "sim/core/config.h"
#include "sim/core/output_file.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::string_view, 3> k_dims{"ranks", "requests_per_rank", "context"};
constexpr int k_rounds = 5;  // of a batch and its step time; two are enough for most

// One network under the names of its checkpoints.
struct Alias {
  std::string_view checkpoint;
  std::string_view model;
};
constexpr std::array k_aliases{
    Alias{"deepseek-r1", "deepseek-v3"},       Alias{"deepseek-r1-0528", "deepseek-v3"},
    Alias{"deepseek-r1-nvfp4", "deepseek-v3"}, Alias{"deepseek-v3-0324", "deepseek-v3"},
    Alias{"deepseek-v3.1", "deepseek-v3"},     Alias{"deepseek-v3.1-nvfp4", "deepseek-v3"}};

std::string catalog_model(const std::string& path) {
  std::string name = path.substr(path.find_last_of('/') + 1);
  std::ranges::transform(name, name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  const auto alias = std::ranges::find(k_aliases, name, &Alias::checkpoint);
  return alias == k_aliases.end() ? name : std::string(alias->model);
}

// Looks things up in the catalogs, each once.
class Finder {
 public:
  Finder(const CatalogFolders& catalogs, const Library& library)
      : catalogs_(catalogs), library_(library) {
    const auto folders = hardware_folders(catalogs.hardware, "clusters");
    for (const std::string& name : catalog_names(folders)) {
      const auto cluster = library.cluster(name, name);
      clusters_.try_emplace(cluster->cluster.node.device.name, name, cluster->cluster.node.devices);
    }
  }

  // The reason why there is none otherwise.
  std::optional<StepScenario> find(const MeasuredStep& step, std::string& reason) const {
    const std::string model = catalog_model(step.model);
    if (find_in_catalog(model, catalogs_.models).empty()) {
      reason = "model " + step.model + " is not in the catalog";
      return std::nullopt;
    }
    const auto cluster = clusters_.find(step.system);
    if (cluster == clusters_.end()) {
      reason = "no cluster of " + step.system + " is in the catalog";
      return std::nullopt;
    }
    return StepScenario{.cluster = cluster->second.first,
                        .model = model,
                        .experts = most_experts(library_.model(model, model)->model),
                        .node_devices = cluster->second.second,
                        .has_profile = !find_in_catalog(model, catalogs_.routing_profiles).empty()};
  }

 private:
  static std::int64_t most_experts(const MoeModel& model) {
    std::int64_t most = 0;
    for (const auto& block : model.blocks) {
      for (const FfnGroup& group : block.ffn) {
        if (group.kind == FfnKind::moe) {
          most = std::max(most, group.ffn_experts());
        }
      }
    }
    return most;
  }

  const CatalogFolders& catalogs_;
  const Library& library_;
  std::map<std::string, std::pair<std::string, int>> clusters_;  // by device: name, devices
};

// Judged rows of one name.
class Errors {
 public:
  void add(const JudgedPoint& point) {
    const double error = point.predicted_s / point.measured_s - 1;
    absolute_.push_back(std::abs(error));
    naive_.push_back(std::abs(point.naive_s / point.measured_s - 1));
    signed_sum_ += error;
    inside_ += inside_p10_p90(point) ? 1 : 0;
  }
  [[nodiscard]] StepGroup group(const std::string& name) const {
    const auto n = static_cast<double>(absolute_.size());
    const ErrorSummary ape = summarise(absolute_);
    return {.name = name,
            .n = static_cast<std::int64_t>(absolute_.size()),
            .median_ape = ape.median,
            .p90_ape = ape.p90,
            .mean_signed_error = signed_sum_ / n,
            .coverage_80 = inside_ / n,
            .naive_median_ape = summarise(naive_).median};
  }

 private:
  std::vector<double> absolute_;
  std::vector<double> naive_;
  double signed_sum_ = 0.0;
  double inside_ = 0.0;
};

// A row on its way to a prediction.
struct Row {
  const MeasuredStep* step = nullptr;
  StepScenario found;
  std::int64_t decoding = 0;  // requests of a rank
  StepReport report;
  double naive_s = 0.0;  // the same step with the spec sheet's kernels
};

// Simulates rows as `simulate` does.
class Runner {
 public:
  Runner(const Library& library, const ValidateStepsOptions& options)
      : library_(library), options_(options) {}

  void predict(std::vector<Row>& rows) {
    std::vector<Row*> open;
    for (Row& row : rows) {
      row.decoding = row.step->decoding(std::numeric_limits<double>::infinity());
      open.push_back(&row);
    }
    for (int round = 0; round < k_rounds && !open.empty(); ++round) {
      const std::vector<StepReport> reports = run(open, "");
      std::vector<Row*> moved;
      for (std::size_t i = 0; i < open.size(); ++i) {
        Row& row = *open[i];
        row.report = reports[i];
        const std::int64_t decoding = row.step->decoding(row.report.metrics.step_s);
        if (decoding != row.decoding && round + 1 < k_rounds) {
          row.decoding = decoding;
          moved.push_back(&row);
        }
      }
      open = std::move(moved);
      done(round + 1.0);
    }
    std::vector<Row*> all;
    for (Row& row : rows) {
      all.push_back(&row);
    }
    const std::vector<StepReport> reports = run(all, "spec_sheet");
    for (std::size_t i = 0; i < rows.size(); ++i) {
      rows[i].naive_s = reports[i].metrics.step_s;
    }
    done(k_rounds + 1.0);
  }

 private:
  // `kernels`: instead of the row's; empty: the row's.
  std::vector<StepReport> run(const std::vector<Row*>& rows, const std::string& kernels) {
    std::vector<Scenario> scenarios;
    for (const Row* row : rows) {
      Json document = step_scenario(*row->step, row->found, row->decoding);
      if (!kernels.empty()) {
        document["policy"]["kernels"] = kernels;
      }
      scenarios.push_back(
          parse_scenario(document, options_.file + ":" + std::to_string(row->step->line)));
    }
    return simulate_all(scenarios, library_, options_.threads);
  }
  void done(double rounds) const {
    if (options_.progress) {
      options_.progress(rounds / (k_rounds + 1.0));
    }
  }

  const Library& library_;
  const ValidateStepsOptions& options_;
};

Json group_json(const StepGroup& group) {
  return {{"name", group.name},
          {"n", group.n},
          {"median_ape", group.median_ape},
          {"p90_ape", group.p90_ape},
          {"mean_signed_error", group.mean_signed_error},
          {"coverage_80", group.coverage_80},
          {"baseline", {{"naive_median_ape", group.naive_median_ape}}}};
}

std::string group_name(const MeasuredStep& step) {
  return "step_s/" + catalog_model(step.model) + "/" + step.system + "/" + step.framework + "/" +
         step.precision;
}

}  // namespace

std::int64_t ValidateStepsResult::judged() const {
  std::int64_t n = 0;
  for (const StepGroup& group : groups) {
    n += group.n;
  }
  return n;
}

Json step_scenario(const MeasuredStep& step, const StepScenario& found,
                   std::int64_t requests_per_rank) {
  const bool narrow = step.precision == "fp8" || step.precision == "fp4";
  Json precision{{"preset", step.precision == "fp8" ? "fp8_block" : step.precision}};
  const int devices = std::min(step.ranks, found.node_devices);
  const std::int64_t slots = (found.experts + step.ranks - 1) / step.ranks * step.ranks;
  return {{"hardware",
           {{"cluster", found.cluster},
            {"devices", devices},
            {"nodes", (step.ranks + devices - 1) / devices}}},
          {"model", found.model},
          {"workload",
           {{"kind", "decode"},
            {"requests_per_rank", requests_per_rank},
            {"context", step.context},
            {"routing", found.has_profile ? "profile:" + found.model : "balanced"}}},
          {"parallelism",
           {{"attention", {{"tp", 1}, {"dp", step.ranks}}}, {"experts", {{"ep", step.ranks}}}}},
          {"placement", {{"policy", "contiguous"}, {"redundant_experts", slots - found.experts}}},
          {"policy",
           {{"all_to_all", step.framework == "trtllm" ? "rank_dedup" : "deepep_low_latency"},
            {"kernels", step.framework},
            {"precision", precision},
            {"dispatch", narrow ? "fp8" : "bf16"},
            {"combine", "bf16"}}},
          {"run", {{"routing", "expected"}}}};
}

ValidateStepsResult validate_steps(const ValidateStepsOptions& options) {
  check_outputs(std::array{NamedFile{"--points", options.points}},
                std::array{NamedFile{"csv", options.file}});
  const StepPoints points = read_step_points(options.file);
  const Library library(options.catalogs);
  const Finder finder(options.catalogs, library);
  ValidateStepsResult result{.groups = {}, .pooled = {}, .skipped = points.skipped};
  std::vector<Row> rows;
  for (const MeasuredStep& step : points.steps) {
    std::string reason;
    if (const auto found = finder.find(step, reason)) {
      rows.push_back({.step = &step, .found = *found, .decoding = 0, .report = {}});
    } else {
      ++result.skipped[reason];
    }
  }
  Runner(library, options).predict(rows);
  std::optional<OutputFile> file;
  std::optional<PointTable> table;
  if (!options.points.empty()) {
    file.emplace(options.points);
    table.emplace([&file](std::string_view line) { file->write(line); },
                  std::vector<std::string_view>(k_dims.begin(), k_dims.end()));
  }
  std::map<std::string, Errors> groups;
  std::map<std::string, Errors> pooled;
  for (const Row& row : rows) {
    const MeasuredStep& step = *row.step;
    const std::string group = group_name(step);
    const std::string source = step.framework + " " + step.version;
    const std::array<double, k_dims.size()> dims{static_cast<double>(step.ranks),
                                                 static_cast<double>(row.decoding),
                                                 static_cast<double>(step.context)};
    const JudgedPoint point{.group = group,
                            .kernel_source = source,
                            .dim_names = k_dims,
                            .dims = dims,
                            .measured_s = step.step_s,
                            .predicted_s = row.report.metrics.step_s,
                            .naive_s = row.naive_s,
                            .sigma = row.report.uncertainty.sigma,
                            .extrapolated = !row.report.uncertainty.extrapolated.empty(),
                            .file = points.file,
                            .line = step.line};
    groups[group].add(point);
    pooled["step_s/" + step.precision].add(point);
    if (table) {
      table->add(point);
    }
  }
  if (file) {
    file->finish();
  }
  for (const auto& [name, errors] : groups) {
    result.groups.push_back(errors.group(name));
  }
  for (const auto& [name, errors] : pooled) {
    result.pooled.push_back(errors.group(name));
  }
  return result;
}

Json to_json(const ValidateStepsResult& result) {
  Json document{{"groups", Json::array()}, {"pooled", Json::array()}, {"skipped", Json::array()}};
  std::int64_t rows = result.judged();
  for (const StepGroup& group : result.groups) {
    document["groups"].push_back(group_json(group));
  }
  for (const StepGroup& group : result.pooled) {
    document["pooled"].push_back(group_json(group));
  }
  for (const auto& [reason, n] : result.skipped) {
    document["skipped"].push_back({{"reason", reason}, {"n", n}});
    rows += n;
  }
  document["rows_read"] = rows;
  return document;
}

}  // namespace moesim
