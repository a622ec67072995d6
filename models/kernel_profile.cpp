#include "models/kernel_profile.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/core/quantity_text.h"

namespace moesim {
namespace {

constexpr std::string_view k_schema = "moesim/kernel_profile/1";
constexpr double k_huge = 1e30;

KernelKind parse_kind(ConfigObject& object) {
  std::vector<std::string_view> names;
  for (std::size_t i = 0; i < k_kernel_kinds; ++i) {
    names.push_back(name_of(static_cast<KernelKind>(i)));
  }
  const std::string name = object.choice("operation", names);
  return static_cast<KernelKind>(std::ranges::find(names, name) - names.begin());
}

const KernelForm& parse_form(ConfigObject& object) {
  std::vector<std::string_view> names;
  for (const KernelForm& form : kernel_forms()) {
    names.push_back(form.name);
  }
  return *find_form(object.choice("form", names));
}

std::optional<DType> parse_format(ConfigObject& object, std::string_view key) {
  if (object.text_or(key, "any") == "any") {
    return std::nullopt;
  }
  return object.dtype(key);
}

std::vector<FitRange> parse_ranges(ConfigObject object, KernelKind kind) {
  std::vector<FitRange> ranges;
  const DimNames dims = dim_names(kind);
  for (std::size_t i = 0; i < dims.ranged; ++i) {
    const auto pair = object.numbers(dims.names[i], 0.0, k_huge);
    if (pair.size() != 2 || pair[0] > pair[1]) {
      object.fail(dims.names[i], "is not a range; expected [smallest, largest]");
    }
    ranges.push_back({pair[0], pair[1]});
  }
  object.reject_unknown_keys();
  return ranges;
}

ErrorSummary parse_error(ConfigObject object) {
  const ErrorSummary error{object.number("median", 0.0, k_huge), object.number("p90", 0.0, k_huge)};
  object.reject_unknown_keys();
  return error;
}

FittedFamily parse_family(ConfigObject object) {
  FittedFamily family;
  family.kind = parse_kind(object);
  family.dtype = parse_format(object, "dtype");
  family.storage = parse_format(object, "storage");
  family.kernel_source = object.text_or("kernel_source", "");
  family.preferred = object.boolean_or("preferred", false);
  family.form = &parse_form(object);
  ConfigObject coefficients = object.object("coefficients");
  for (const Parameter& parameter : family.form->parameters) {
    // 0 switches a term off; a fitted coefficient stays within the form's limits.
    const double value = coefficients.number(parameter.name, 0.0, parameter.max);
    if (value > 0 && value < parameter.min) {
      coefficients.fail(parameter.name, "is below the form's limit of " +
                                            format_number(parameter.min) + " and not 0");
    }
    family.coefficients.push_back(value);
  }
  coefficients.reject_unknown_keys();
  if (auto ranges = object.object_if("fit_range")) {
    family.range = parse_ranges(*ranges, family.kind);
  }
  family.rows_used = object.integer("rows_used", 0);
  family.rows_skipped = object.integer("rows_skipped", 0);
  family.in_sample = parse_error(object.object("error_in_sample"));
  family.left_out = parse_error(object.object("error_left_out"));
  family.naive = parse_error(object.object("error_naive_roofline"));
  family.source = object.text("source");
  object.reject_unknown_keys();
  return family;
}

nlohmann::ordered_json error_json(const ErrorSummary& error) {
  return {{"median", rounded(error.median)}, {"p90", rounded(error.p90)}};
}

nlohmann::ordered_json family_json(const FittedFamily& family) {
  nlohmann::ordered_json json;
  json["operation"] = name_of(family.kind);
  json["dtype"] = family.dtype ? name_of(*family.dtype) : "any";
  json["storage"] = family.storage ? name_of(*family.storage) : "any";
  json["kernel_source"] = family.kernel_source;
  json["preferred"] = family.preferred;
  json["form"] = family.form->name;
  for (std::size_t i = 0; i < family.coefficients.size(); ++i) {
    json["coefficients"][std::string(family.form->parameters[i].name)] =
        rounded(family.coefficients[i]);
  }
  const DimNames dims = dim_names(family.kind);
  for (std::size_t i = 0; i < family.range.size(); ++i) {
    json["fit_range"][std::string(dims.names[i])] = {rounded(family.range[i].min),
                                                     rounded(family.range[i].max)};
  }
  json["rows_used"] = family.rows_used;
  json["rows_skipped"] = family.rows_skipped;
  json["error_in_sample"] = error_json(family.in_sample);
  json["error_left_out"] = error_json(family.left_out);
  json["error_naive_roofline"] = error_json(family.naive);
  json["source"] = family.source;
  return json;
}

}  // namespace

std::string FittedFamily::name() const {
  if (!dtype) {
    return std::string(name_of(kind));
  }
  return family_name({kind, *dtype, storage.value_or(*dtype)});
}

std::string KernelProfile::name() const {
  if (framework == k_spec_sheet) {
    return framework;
  }
  return device.device + "/" + framework + "-" + version;
}

KernelProfile parse_kernel_profile(const nlohmann::json& document, const std::string& where) {
  ConfigObject root(document, where);
  constexpr std::array schemas{k_schema};
  root.choice("schema", schemas);
  KernelProfile profile;
  profile.device.device = root.text("device");
  profile.framework = root.text("framework");
  profile.version = root.text("version");
  profile.date = root.text("date");
  if (profile.framework != k_spec_sheet) {
    profile.device.architecture = root.text("architecture");
    ConfigObject peaks = root.object("fitted_with");
    profile.device.memory = peaks.positive<Bandwidth>("memory_bandwidth");
    profile.device.multiprocessors = static_cast<int>(peaks.integer("multiprocessors", 1, 100'000));
    profile.device.l2 = peaks.non_negative<Bytes>("l2");
    ConfigObject rates = peaks.object("peak");
    for (const std::string& name : rates.keys()) {
      profile.device.peak[parse_dtype(name, rates.where(name))] = rates.positive<FlopRate>(name);
    }
    rates.reject_unknown_keys();
    peaks.reject_unknown_keys();
  }
  for (const ConfigObject& family : root.objects("families")) {
    profile.families.push_back(parse_family(family));
  }
  if (profile.families.empty()) {
    root.fail("families", "has no entry; a profile needs at least one fitted family");
  }
  root.reject_unknown_keys();
  return profile;
}

KernelProfile read_kernel_profile(const std::string& path) {
  return parse_kernel_profile(read_json_file(path), path + "#");
}

std::string kernel_profile_text(const KernelProfile& profile) {
  nlohmann::ordered_json json;
  json["schema"] = k_schema;
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
  for (const FittedFamily& family : profile.families) {
    json["families"].push_back(family_json(family));
  }
  return json.dump(1) + "\n";
}

double rounded(double value) {
  std::array<char, 32> text{};
  const auto written =
      std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::general, 6);
  double result = 0;
  std::from_chars(text.data(), written.ptr, result);
  return result;
}

bool inside_range(const FittedFamily& family, const KernelDims& dims) {
  for (std::size_t i = 0; i < family.range.size(); ++i) {
    if (dims[i] < family.range[i].min / k_range_tolerance ||
        dims[i] > family.range[i].max * k_range_tolerance) {
      return false;
    }
  }
  return true;
}

}  // namespace moesim
