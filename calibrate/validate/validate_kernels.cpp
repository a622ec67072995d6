#include "calibrate/validate/validate_kernels.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "calibrate/fit/erratic.h"
#include "models/kernels/kernel_library.h"

namespace moesim {
namespace {

struct GroupErrors {
  std::vector<double> signed_errors;
  std::vector<double> regular;  // absolute, of the rows that are not erratic
  std::vector<double> naive;
  std::int64_t inside = 0;
  std::int64_t extrapolated = 0;
  std::set<std::string> profiles;
};

constexpr std::string_view k_unphysical =
    "faster than the device's peaks allow (spec-sheet roofline of the useful work)";

class Validation {
 public:
  Validation(const KernelLibrary& library, const ValidationOptions& options)
      : library_(library), options_(options) {}

  void add(const KernelRows& table) {
    for (const auto& [reason, rows] : table.skipped) {
      skipped_[reason] += rows;
    }
    if (table.rows.empty()) {
      return;
    }
    std::map<std::pair<std::string, std::uint16_t>, BoundFamily> bound;
    std::vector<const KernelRow*> rows;
    std::vector<const BoundFamily*> families;
    std::vector<KernelEstimate> estimates;
    std::vector<double> predicted;
    for (const KernelRow& row : table.rows) {
      if (beats_physics(row, table.device)) {
        ++skipped_[std::string(k_unphysical)];
        continue;
      }
      const auto [entry, is_new] = bound.try_emplace({family_name(row.shape.key), row.source});
      if (is_new) {
        entry->second =
            library_.bind(table.device, row.shape.key,
                          {.wish = table.file.framework,
                           .kernel_source = table.sources[row.source],
                           .without_device = options_.leave_device_out ? table.device.device : ""});
      }
      rows.push_back(&row);
      families.push_back(&entry->second);
      estimates.push_back(entry->second.estimate(row.shape));
      predicted.push_back(estimates.back().alone().si());
    }
    const std::vector<bool> erratic = erratic_rows(rows, predicted);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      add_row(*rows[i], table, *families[i], estimates[i], erratic[i]);
    }
  }

  [[nodiscard]] ValidationReport report() const {
    ValidationReport result;
    for (const auto& [name, errors] : groups_) {
      result.groups.push_back(summary(name, errors));
      result.rows_read += result.groups.back().n;
    }
    for (const auto& [reason, rows] : skipped_) {
      result.skipped.emplace_back(reason, rows);
      result.rows_read += rows;
    }
    return result;
  }

 private:
  void add_row(const KernelRow& row, const KernelRows& table, const BoundFamily& family,
               const KernelEstimate& estimate, bool erratic) {
    const std::string& group = table.groups[row.group];
    const auto names = dim_names(row.shape.key.kind).names;
    const JudgedPoint point{.group = group,
                            .kernel_source = table.sources[row.source],
                            .dim_names = names,
                            .dims = std::span(row.shape.dims).first(names.size()),
                            .measured_s = row.seconds,
                            .predicted_s = estimate.alone().si(),
                            .naive_s = row.naive_seconds,
                            .sigma = estimate.sigma,
                            .extrapolated = estimate.extrapolated,
                            .file = table.file.path,
                            .line = row.line};
    if (options_.visit) {
      options_.visit(point);
    }
    GroupErrors& errors = groups_[group];
    errors.inside += inside_p10_p90(point) ? 1 : 0;
    errors.signed_errors.push_back(estimate.alone().si() / row.seconds - 1);
    if (!erratic) {
      errors.regular.push_back(std::abs(errors.signed_errors.back()));
    }
    errors.naive.push_back(std::abs(row.naive_seconds / row.seconds - 1));
    errors.extrapolated += estimate.extrapolated ? 1 : 0;
    errors.profiles.insert(family.profile->name() + " (" + std::string(name_of(family.basis)) +
                           ")");
  }

  static ValidationGroup summary(const std::string& name, const GroupErrors& errors) {
    ValidationGroup group;
    group.name = name;
    group.n = static_cast<std::int64_t>(errors.signed_errors.size());
    std::vector<double> absolute;
    double sum = 0;
    for (const double error : errors.signed_errors) {
      absolute.push_back(std::abs(error));
      sum += error;
    }
    const ErrorSummary ape = summarise(std::move(absolute));
    const ErrorSummary naive = summarise(errors.naive);
    const ErrorSummary regular = summarise(errors.regular);
    group.erratic = group.n - static_cast<std::int64_t>(errors.regular.size());
    group.regular_median_ape = regular.median;
    group.regular_p90_ape = regular.p90;
    group.median_ape = ape.median;
    group.p90_ape = ape.p90;
    group.mean_signed_error = rounded(sum / static_cast<double>(group.n));
    group.naive_median_ape = naive.median;
    group.naive_p90_ape = naive.p90;
    group.inside_p10_p90 =
        rounded(static_cast<double>(errors.inside) / static_cast<double>(group.n));
    group.extrapolated = errors.extrapolated;
    group.profiles.assign(errors.profiles.begin(), errors.profiles.end());
    return group;
  }

  const KernelLibrary& library_;
  const ValidationOptions& options_;
  std::map<std::string, GroupErrors> groups_;
  std::map<std::string, std::int64_t> skipped_;
};

}  // namespace

ValidationReport validate_kernels(const std::string& dir,
                                  const std::vector<std::string>& profile_dirs,
                                  const DeviceLookup& devices, const ValidationOptions& options) {
  const KernelLibrary library(profile_dirs);
  Validation validation(library, options);
  LoadGenerator loads(KernelFitOptions{}.seed);
  const auto files = measured_files(dir);
  for (std::size_t i = 0; i < files.size(); ++i) {
    tell(options.progress, i, files.size());
    validation.add(read_kernel_rows(files[i], devices, loads));
  }
  return validation.report();
}

std::string validation_json(const ValidationReport& report) {
  nlohmann::ordered_json json;
  json["groups"] = nlohmann::ordered_json::array();
  for (const ValidationGroup& group : report.groups) {
    nlohmann::ordered_json entry;
    entry["name"] = group.name;
    entry["n"] = group.n;
    entry["median_ape"] = group.median_ape;
    entry["p90_ape"] = group.p90_ape;
    entry["mean_signed_error"] = group.mean_signed_error;
    entry["baseline"] = {{"naive_median_ape", group.naive_median_ape},
                         {"naive_p90_ape", group.naive_p90_ape}};
    entry["inside_p10_p90"] = group.inside_p10_p90;
    entry["extrapolated"] = group.extrapolated;
    entry["erratic"] = {{"n", group.erratic},
                        {"median_ape_without", group.regular_median_ape},
                        {"p90_ape_without", group.regular_p90_ape}};
    entry["profiles"] = group.profiles;
    json["groups"].push_back(entry);
  }
  json["skipped"] = nlohmann::ordered_json::array();
  for (const auto& [reason, rows] : report.skipped) {
    json["skipped"].push_back({{"reason", reason}, {"n", rows}});
  }
  json["rows_read"] = report.rows_read;
  return json.dump(1) + "\n";
}

}  // namespace moesim
