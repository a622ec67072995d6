#include "sim/app/validate.h"

#include <array>
#include <nlohmann/json.hpp>
#include <optional>

#include "models/network/moe_model.h"
#include "sim/app/device_catalog.h"
#include "sim/core/catalog.h"
#include "sim/core/error.h"
#include "sim/core/output_file.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

// What is done with every judged row: nothing, unless it was asked for.
class PointOutput {
 public:
  PointOutput(const ValidateOptions& options, std::vector<std::string_view> dims)
      : wants_regimes_(options.regimes) {
    check_outputs(std::array{NamedFile{"--points", options.points}},
                  std::array{NamedFile{"dir", options.directory, ".csv"}});
    if (!options.points.empty()) {
      file_.emplace(options.points);
      table_.emplace([this](std::string_view line) { file_->write(line); }, std::move(dims));
    }
  }

  [[nodiscard]] PointVisitor visitor() {
    if (!table_ && !wants_regimes_) {
      return {};
    }
    return [this](const JudgedPoint& point) {
      if (table_) {
        table_->add(point);
      }
      if (wants_regimes_) {
        regimes_.add(point);
      }
    };
  }

  // Completes the table.
  std::map<std::string, Regime> finish() {
    if (file_) {
      file_->finish();
    }
    return regimes_.worst();
  }

 private:
  bool wants_regimes_;
  std::optional<OutputFile> file_;
  std::optional<PointTable> table_;
  Regimes regimes_;
};

void add_regimes(Json& document, const std::map<std::string, Regime>& worst) {
  for (Json& group : document["groups"]) {
    const auto found = worst.find(group["name"].get<std::string>());
    if (found != worst.end()) {
      const Regime& regime = found->second;
      group["worst_regime"] = {{"variable", regime.variable},
                               {"from", regime.from},
                               {"to", regime.to},
                               {"n", regime.n},
                               {"median_ape", regime.median_ape},
                               {"p90_ape", regime.p90_ape}};
    }
  }
}

}  // namespace

namespace {

// Without numbers of ranks on both sides there is nothing to interpolate.
Json baseline(const CommGroup& group) {
  Json figures{{"naive_median_ape", group.naive_median_ape},
               {"interpolation_n", group.interpolated},
               {"interpolation_median_ape", nullptr},
               {"interpolation_p90_ape", nullptr}};
  if (group.interpolated > 0) {
    figures["interpolation_median_ape"] = group.interpolation_median_ape;
    figures["interpolation_p90_ape"] = group.interpolation_p90_ape;
  }
  return figures;
}

}  // namespace

ValidateKernelsResult validate_kernels(const ValidateOptions& options) {
  PointOutput output(options, kernel_point_dims());
  std::vector<MoeModel> models;
  for (const std::string& name : catalog_names(options.catalogs.models)) {
    models.push_back(load_model(Json(name), name, options.catalogs.models));
  }
  ErrorsByModel by_model(models);
  const PointVisitor other = output.visitor();
  ValidateKernelsResult result;
  result.report = validate_kernels(
      options.directory, options.catalogs.kernel_profiles,
      [&](const std::string& name) { return find_device_peaks(options.catalogs, name); },
      {.progress = options.progress,
       .visit =
           [&](const JudgedPoint& point) {
             by_model.add(point);
             if (other) {
               other(point);
             }
           },
       .leave_device_out = options.leave_device_out});
  result.worst_regimes = output.finish();
  result.models = by_model.rows();
  return result;
}

ValidateCollectivesResult validate_collectives(const ValidateOptions& options) {
  PointOutput output(options, comm_point_dims());
  ValidateCollectivesResult result;
  result.report =
      validate_collectives(options.directory, load_comm_profiles(options.catalogs.comm_profiles),
                           output.visitor(), options.leave_device_out);
  if (result.report.rows_read == 0) {
    throw ConfigError(options.directory,
                      "holds no table of measured collectives; give a folder of "
                      "CSV files named nccl-*, deepep_*, ...");
  }
  result.worst_regimes = output.finish();
  return result;
}

Json to_json(const ValidateKernelsResult& result) {
  Json document = Json::parse(validation_json(result.report));
  add_regimes(document, result.worst_regimes);
  document["models"] = Json::array();
  for (const ModelErrors& row : result.models) {
    document["models"].push_back({{"model", row.model},
                                  {"group", row.group},
                                  {"n", row.n},
                                  {"median_ape", row.median_ape},
                                  {"p90_ape", row.p90_ape},
                                  {"mean_signed_error", row.mean_signed_error}});
  }
  return document;
}

Json to_json(const ValidateCollectivesResult& result) {
  Json document{{"groups", Json::array()}, {"skipped", Json::array()}};
  for (const CommGroup& group : result.report.groups) {
    document["groups"].push_back({{"name", group.name},
                                  {"n", group.n},
                                  {"median_ape", group.median_ape},
                                  {"p90_ape", group.p90_ape},
                                  {"mean_signed_error", group.mean_signed_error},
                                  {"inside_p10_p90", group.inside_p10_p90},
                                  {"erratic",
                                   {{"n", group.erratic},
                                    {"median_ape_without", group.regular_median_ape},
                                    {"p90_ape_without", group.regular_p90_ape}}},
                                  {"baseline", baseline(group)}});
  }
  for (const auto& [reason, rows] : result.report.skipped) {
    document["skipped"].push_back({{"reason", reason}, {"n", rows}});
  }
  add_regimes(document, result.worst_regimes);
  return document;
}

}  // namespace moesim
