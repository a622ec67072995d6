#include "models/kernels/kernel_profile.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/core/quantity_text.h"

namespace moesim {
namespace {

constexpr double k_huge = 1e30;

std::vector<std::string_view> kind_names() {
  std::vector<std::string_view> names;
  for (std::size_t i = 0; i < k_kernel_kinds; ++i) {
    names.push_back(name_of(static_cast<KernelKind>(i)));
  }
  return names;
}

KernelKind parse_kind(ConfigObject& object) {
  const auto names = kind_names();
  const std::string name = object.choice("operation", names);
  return static_cast<KernelKind>(std::ranges::find(names, name) - names.begin());
}

std::vector<KernelKind> parse_operations(ConfigObject& object) {
  const auto names = kind_names();
  std::vector<KernelKind> kinds;
  for (const std::string& text : object.texts("operations")) {
    const auto found = std::ranges::find(names, text);
    if (found == names.end()) {
      object.fail("operations", "names \"" + text + "\"; there are: " + joined(names));
    }
    kinds.push_back(static_cast<KernelKind>(found - names.begin()));
  }
  return kinds;
}

// Absent parts are what steps lower.
void parse_algorithm(ConfigObject object, FittedFamily& family) {
  KernelAlgorithm& algorithm = family.algorithm;
  const KernelKind kind = family.kind;
  const auto part = [&object](std::string_view key, bool applies, auto& value, const auto& names) {
    if (applies && object.has(key)) {
      const auto found = std::ranges::find(names, object.choice(key, names));
      value = static_cast<std::remove_reference_t<decltype(value)>>(found - names.begin());
    }
  };
  part("layout", has_layout(kind), algorithm.layout, k_layout_names);
  part("prefill", has_prefill(kind), algorithm.prefill, k_prefill_names);
  part("cache", has_cache(kind), algorithm.cache, k_cache_names);
  if (has_layout(kind) && object.has("timed")) {
    family.products_alone = object.choice("timed", k_timed_names) == k_timed_names.back();
  }
  object.reject_unknown_keys();
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

// As many thresholds per feature as the trees may ask for; absent features are not asked.
std::shared_ptr<const CorrectionForest> parse_correction(ConfigObject object, KernelKind kind) {
  ForestDefinition forest;
  ConfigObject thresholds = object.object("thresholds");
  for (const std::string_view name : feature_names(kind)) {
    auto& list = forest.thresholds.emplace_back();
    if (!thresholds.has(name)) {
      continue;
    }
    for (const double value : thresholds.numbers(name, -k_huge, k_huge)) {
      const auto next = static_cast<float>(value);
      if (!list.empty() && next <= list.back()) {
        thresholds.fail(name, "has thresholds that do not rise");
      }
      list.push_back(next);
    }
    if (list.size() > k_max_thresholds) {
      thresholds.fail(name, "has more than " + std::to_string(k_max_thresholds) + " thresholds");
    }
  }
  thresholds.reject_unknown_keys();
  const auto interpolated = interpolated_feature(kind);
  if (interpolated && object.has("interpolated")) {
    for (const double value : object.numbers("interpolated", -k_huge, k_huge)) {
      forest.interpolated.push_back(static_cast<float>(value));
    }
    if (!std::ranges::is_sorted(forest.interpolated)) {
      object.fail("interpolated", "has values that do not rise");
    }
  }
  const std::vector<std::string> trees = object.texts("trees");
  if (trees.empty() || trees.size() > k_max_trees) {
    object.fail("trees", "has " + std::to_string(trees.size()) + " entries; expected 1 to " +
                             std::to_string(k_max_trees));
  }
  for (std::size_t i = 0; i < trees.size(); ++i) {
    forest.trees.push_back(
        parse_tree(trees[i], forest.thresholds, object.where("trees") + "/" + std::to_string(i)));
  }
  object.reject_unknown_keys();
  return std::make_shared<const CorrectionForest>(std::move(forest), interpolated);
}

std::vector<ErrorBand> parse_bands(ConfigObject object) {
  const auto limits = object.numbers("up_to_s", 0.0, k_huge);
  const auto sigmas = object.numbers("sigma", 0.0, k_huge);
  if (limits.size() != sigmas.size() || limits.empty() || !std::ranges::is_sorted(limits)) {
    object.fail("up_to_s", "needs one rising limit per entry of sigma");
  }
  object.reject_unknown_keys();
  std::vector<ErrorBand> bands;
  for (std::size_t i = 0; i < limits.size(); ++i) {
    bands.push_back({limits[i], sigmas[i]});
  }
  return bands;
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
  if (auto algorithm = object.object_if("algorithm")) {
    parse_algorithm(*algorithm, family);
  }
  family.slow_path = object.boolean_or("slow_path", false);
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
  if (auto correction = object.object_if("correction")) {
    family.correction = parse_correction(*correction, family.kind);
  }
  if (auto ranges = object.object_if("fit_range")) {
    family.range = parse_ranges(*ranges, family.kind);
  }
  if (object.has("measured_batches")) {
    family.grid = object.numbers("measured_batches", 0.0, k_huge);
    if (!std::ranges::is_sorted(family.grid, std::ranges::less_equal())) {
      object.fail("measured_batches", "has values that do not rise");
    }
  }
  family.rows_used = object.integer("rows_used", 0);
  family.rows_skipped = object.integer("rows_skipped", 0);
  family.rows_erratic = object.integer("rows_erratic", 0);
  family.in_sample = parse_error(object.object("error_in_sample"));
  family.left_out = parse_error(object.object("error_left_out"));
  family.left_out_form = parse_error(object.object("error_left_out_form"));
  family.neighbour = parse_error(object.object("error_left_out_nearest_neighbour"));
  family.naive = parse_error(object.object("error_naive_roofline"));
  if (auto bands = object.object_if("error_bands")) {
    family.error_bands = parse_bands(*bands);
    family.inside_p10_p90 = object.number("inside_p10_p90", 0.0, 1.0);
  }
  if (object.has("host_floor")) {
    family.host_floor = object.positive<Seconds>("host_floor").si();
  }
  family.source = object.text("source");
  object.reject_unknown_keys();
  return family;
}

}  // namespace

std::string FittedFamily::name() const {
  if (!dtype) {
    return std::string(name_of(kind));
  }
  return family_name({kind, *dtype, storage.value_or(*dtype), algorithm});
}

std::string KernelProfile::name() const {
  if (framework == k_spec_sheet) {
    return framework;
  }
  return device.device + "/" + framework + "-" + version;
}

namespace {

KnownLaws parse_laws(ConfigObject object) {
  KnownLaws laws;
  for (const std::string& name : object.keys()) {
    const auto known = object.numbers(name, 0.0, k_huge);
    const double flags = known.size() == 3 ? known[2] : 0.0;
    if (known.size() < 2 || known.size() > 3 ||
        (known.size() == 3 && flags != 1 && flags != 2 && flags != 3)) {
      object.fail(name,
                  "is not [median, p90] of the left-out errors, and 1 for a slow path, 2 for "
                  "rows that time the host, 3 for both");
    }
    laws[name] = {.left_out = {known[0], known[1]},
                  .slow_path = flags == 1 || flags == 3,
                  .host_bound = flags >= 2};
  }
  object.reject_unknown_keys();
  return laws;
}

KernelProfile parse_head(ConfigObject& root) {
  constexpr std::array schemas{k_profile_schema};
  root.choice("schema", schemas);
  KernelProfile profile;
  profile.device.device = root.text("device");
  profile.framework = root.text("framework");
  profile.version = root.text("version");
  profile.date = root.text("date");
  if (root.has("operations")) {
    profile.operations = parse_operations(root);
  }
  if (auto laws = root.object_if("laws")) {
    profile.laws = parse_laws(*laws);
  }
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
  return profile;
}

}  // namespace

KernelProfile parse_kernel_profile_head(const nlohmann::json& document, const std::string& where) {
  ConfigObject root(document, where);
  KernelProfile profile = parse_head(root);
  root.reject_unknown_keys();
  return profile;
}

KernelProfile parse_kernel_profile(const nlohmann::json& document, const std::string& where) {
  ConfigObject root(document, where);
  KernelProfile profile = parse_head(root);
  for (const ConfigObject& family : root.objects("families")) {
    profile.families.push_back(parse_family(family));
  }
  if (profile.families.empty()) {
    root.fail("families", "has no entry; a profile needs at least one fitted family");
  }
  if (!profile.operations.empty() && profile.operations != operations_of(profile)) {
    root.fail("operations", "differs from the families' operations, ascending and each once");
  }
  if (!profile.laws.empty() && profile.laws != laws_of(profile)) {
    root.fail("laws", "differs from the names and left-out errors of the families that answer");
  }
  root.reject_unknown_keys();
  return profile;
}

std::vector<KernelKind> operations_of(const KernelProfile& profile) {
  std::set<KernelKind> kinds;
  for (const FittedFamily& family : profile.families) {
    kinds.insert(family.kind);
  }
  return {kinds.begin(), kinds.end()};
}

KnownLaws laws_of(const KernelProfile& profile) {
  KnownLaws laws;
  for (const FittedFamily& family : profile.families) {
    if (family.dtype) {
      const KernelKey key{family.kind, *family.dtype, family.storage.value_or(*family.dtype),
                          family.algorithm};
      const FittedFamily& answers = *find_family(profile, key);
      laws[family_name(key)] = {answers.left_out, answers.slow_path, answers.host_floor > 0};
    }
  }
  return laws;
}

const FittedFamily* find_family(const KernelProfile& profile, const KernelKey& key,
                                std::string_view kernel_source) {
  const FittedFamily* best = nullptr;
  for (const FittedFamily& family : profile.families) {
    if (!family.answers(key)) {
      continue;
    }
    if (!kernel_source.empty() && family.kernel_source == kernel_source) {
      return &family;
    }
    if (best == nullptr || (family.preferred && !best->preferred)) {
      best = &family;
    }
  }
  return best;
}

KernelProfile read_kernel_profile(const std::string& path) {
  return parse_kernel_profile(read_json_file(path), path + "#");
}

double rounded(double value) {
  std::array<char, 32> text{};
  const auto written =
      std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::general, 6);
  double result = 0;
  std::from_chars(text.data(), written.ptr, result);
  return result;
}

double standard_error(const FittedFamily& family, double seconds) {
  if (family.error_bands.empty()) {
    return 0.0;
  }
  const auto band = std::ranges::find_if(
      family.error_bands, [seconds](const ErrorBand& b) { return seconds <= b.up_to; });
  return band == family.error_bands.end() ? family.error_bands.back().sigma : band->sigma;
}

double rounded_threshold(double value) { return std::round(value * 1e4) / 1e4; }

bool inside_range(const FittedFamily& family, const KernelDims& dims) {
  for (std::size_t i = 0; i < family.range.size(); ++i) {
    if (dims[i] * k_range_tolerance < family.range[i].min ||
        dims[i] > family.range[i].max * k_range_tolerance) {
      return false;
    }
  }
  return true;
}

double octaves_outside(const FittedFamily& family, const KernelDims& dims) {
  double sum = 0;
  for (std::size_t i = 0; i < family.range.size(); ++i) {
    const FitRange& range = family.range[i];
    if (dims[i] > range.max * k_range_tolerance && range.max > 0) {
      sum += std::log2(dims[i] / range.max);
    } else if (dims[i] * k_range_tolerance < range.min && dims[i] > 0) {
      sum += std::log2(range.min / dims[i]);
    }
  }
  return sum;
}

}  // namespace moesim
