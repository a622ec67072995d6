// The text of a profile: short arrays on one line, so that differences between two fits are
// readable.
#include <cmath>
#include <nlohmann/json.hpp>

#include "models/kernels/kernel_profile.h"
#include "sim/core/quantity_text.h"

namespace moesim {
namespace {

using Json = nlohmann::ordered_json;

// Indented like Json::dump, but arrays without objects stay on one line.
void write(const Json& value, int depth, std::string& out) {
  const bool nested =
      value.is_structured() && !value.empty() &&
      (value.is_object() || value.front().is_structured() || value.front().is_string());
  if (!nested) {
    out += value.dump();
    return;
  }
  const bool object = value.is_object();
  out += object ? "{" : "[";
  bool first = true;
  for (const auto& [key, item] : value.items()) {
    out += first ? "\n" : ",\n";
    first = false;
    out.append(static_cast<std::size_t>(depth) + 1, ' ');
    if (object) {
      out += Json(key).dump() + ": ";
    }
    write(item, depth + 1, out);
  }
  out += "\n";
  out.append(static_cast<std::size_t>(depth), ' ');
  out += object ? "}" : "]";
}

Json correction_json(const CorrectionForest& correction, KernelKind kind) {
  const ForestDefinition& forest = correction.definition();
  const auto names = feature_names(kind);
  Json json;
  json["thresholds"] = Json::object();
  for (std::size_t f = 0; f < forest.thresholds.size(); ++f) {
    if (!forest.thresholds[f].empty()) {
      Json& list = json["thresholds"][std::string(names[f])] = Json::array();
      for (const float threshold : forest.thresholds[f]) {
        list.push_back(rounded_threshold(threshold));
      }
    }
  }
  if (!forest.interpolated.empty()) {
    Json& list = json["interpolated"] = Json::array();
    for (const float value : forest.interpolated) {
      list.push_back(rounded_threshold(value));
    }
  }
  json["trees"] = Json::array();
  for (const CorrectionTree& tree : forest.trees) {
    json["trees"].push_back(tree_text(tree));
  }
  return json;
}

Json error_json(const ErrorSummary& error) {
  return {{"median", rounded(error.median)}, {"p90", rounded(error.p90)}};
}

// What steps lower goes without saying.
Json algorithm_json(const FittedFamily& family) {
  const KernelAlgorithm& algorithm = family.algorithm;
  Json json;
  if (algorithm.layout != ExpertLayout::fused) {
    json["layout"] = name_of(algorithm.layout);
  }
  if (algorithm.prefill != MlaPrefill::expanded) {
    json["prefill"] = k_prefill_names.at(static_cast<std::size_t>(algorithm.prefill));
  }
  if (algorithm.cache != CacheRead::native) {
    json["cache"] = k_cache_names.at(static_cast<std::size_t>(algorithm.cache));
  }
  if (family.products_alone) {
    json["timed"] = k_timed_names.back();
  }
  return json;
}

Json family_json(const FittedFamily& family) {
  Json json;
  json["operation"] = name_of(family.kind);
  json["dtype"] = family.dtype ? name_of(*family.dtype) : "any";
  json["storage"] = family.storage ? name_of(*family.storage) : "any";
  if (Json algorithm = algorithm_json(family); !algorithm.empty()) {
    json["algorithm"] = std::move(algorithm);
  }
  if (family.slow_path) {
    json["slow_path"] = true;
  }
  json["kernel_source"] = family.kernel_source;
  json["preferred"] = family.preferred;
  json["form"] = family.form->name;
  for (std::size_t i = 0; i < family.coefficients.size(); ++i) {
    json["coefficients"][std::string(family.form->parameters[i].name)] =
        rounded(family.coefficients[i]);
  }
  if (family.correction != nullptr) {
    json["correction"] = correction_json(*family.correction, family.kind);
  }
  const DimNames dims = dim_names(family.kind);
  for (std::size_t i = 0; i < family.range.size(); ++i) {
    json["fit_range"][std::string(dims.names[i])] = {rounded(family.range[i].min),
                                                     rounded(family.range[i].max)};
  }
  if (!family.grid.empty()) {
    json["measured_batches"] = family.grid;
  }
  json["rows_used"] = family.rows_used;
  json["rows_skipped"] = family.rows_skipped;
  json["rows_erratic"] = family.rows_erratic;
  json["error_in_sample"] = error_json(family.in_sample);
  json["error_left_out"] = error_json(family.left_out);
  json["error_left_out_form"] = error_json(family.left_out_form);
  json["error_left_out_nearest_neighbour"] = error_json(family.neighbour);
  json["error_naive_roofline"] = error_json(family.naive);
  if (!family.error_bands.empty()) {
    Json& bands = json["error_bands"];
    bands["up_to_s"] = Json::array();
    bands["sigma"] = Json::array();
    for (const ErrorBand& band : family.error_bands) {
      bands["up_to_s"].push_back(rounded(band.up_to));
      bands["sigma"].push_back(rounded(band.sigma));
    }
    json["inside_p10_p90"] = rounded(family.inside_p10_p90);
  }
  if (family.host_floor > 0) {
    json["host_floor"] = format_quantity(Seconds(family.host_floor));
  }
  json["source"] = family.source;
  return json;
}

}  // namespace

std::string kernel_profile_text(const KernelProfile& profile) {
  Json json;
  json["schema"] = k_profile_schema;
  json["device"] = profile.device.device;
  if (profile.framework != k_spec_sheet) {
    json["architecture"] = profile.device.architecture;
  }
  json["framework"] = profile.framework;
  json["version"] = profile.version;
  json["date"] = profile.date;
  if (profile.framework != k_spec_sheet) {
    auto& peaks = json["fitted_with"];
    peaks["memory_bandwidth"] = format_quantity(profile.device.memory);
    peaks["multiprocessors"] = profile.device.multiprocessors;
    peaks["l2"] = format_quantity(profile.device.l2);
    for (const auto& [dtype, rate] : profile.device.peak) {
      peaks["peak"][std::string(name_of(dtype))] = format_quantity(rate);
    }
  }
  for (const KernelKind kind : operations_of(profile)) {
    json["operations"].push_back(name_of(kind));
  }
  for (const auto& [name, law] : laws_of(profile)) {
    Json& known = json["laws"][name];
    known = {rounded(law.left_out.median), rounded(law.left_out.p90)};
    if (const int flags = (law.slow_path ? 1 : 0) + (law.host_bound ? 2 : 0); flags > 0) {
      known.push_back(flags);
    }
  }
  for (const FittedFamily& family : profile.families) {
    json["families"].push_back(family_json(family));
  }
  std::string out;
  write(json, 0, out);
  return out + "\n";
}

}  // namespace moesim
