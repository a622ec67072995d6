#include "calibrate/fit_profiles.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

#include "calibrate/least_squares.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

using Rows = std::vector<const KernelRow*>;

// Names of Triton kernels in SGLang and vLLM.
bool is_triton(std::string_view kernel_source) {
  return kernel_source.find("triton") != std::string_view::npos ||
         kernel_source.find("fused_moe") != std::string_view::npos;
}

// Terms that a kernel does not have are fixed.
std::vector<FitParameter> fit_parameters(const KernelForm& form, const KernelKey& key,
                                         std::string_view kernel_source) {
  std::vector<FitParameter> parameters;
  const bool gemm = key.kind == KernelKind::gemm || key.kind == KernelKind::batched_gemm;
  const bool sixteen_bits = stored_bits(key.dtype) == 16;
  for (const Parameter& parameter : form.parameters) {
    FitParameter fit{parameter.start, parameter.min, parameter.max};
    if (gemm && parameter.name == "quantise" && sixteen_bits) {
      fit = {0, 0, 0, true};
    } else if (parameter.name == "split_max") {
      // Block-scaled (DeepGEMM) and batched kernels do not split the inner dimension.
      const bool whole = key.dtype == DType::fp8_block || key.kind == KernelKind::batched_gemm;
      fit = {whole ? 1.0 : 8.0, 1, 8, true};
    } else if ((parameter.name == "few_tokens" && !is_triton(kernel_source)) ||
               (parameter.name == "e_comp" && key.kind == KernelKind::memory)) {
      fit = {1, 1, 1, true};
    }
    parameters.push_back(fit);
  }
  return parameters;
}

// A fixed random sample, the same for the same rows.
Rows sample(const Rows& rows, std::size_t count) {
  std::vector<std::pair<std::uint64_t, std::size_t>> order;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    order.emplace_back(mix64(i), i);
  }
  std::ranges::sort(order);
  Rows chosen;
  for (std::size_t i = 0; i < std::min(count, order.size()); ++i) {
    chosen.push_back(rows[order[i].second]);
  }
  return chosen;
}

std::vector<double> fit_rows(const Rows& rows, const KernelForm& form, const KernelContext& context,
                             std::string_view kernel_source, const FitOptions& options) {
  const Rows chosen = sample(rows, options.rows_per_family);
  std::vector<double> measured;
  for (const KernelRow* row : chosen) {
    measured.push_back(row->seconds);
  }
  const auto parameters = fit_parameters(form, chosen.front()->shape.key, kernel_source);
  const auto predict = [&](std::span<const double> c, std::span<double> out) {
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      out[i] = form.evaluate(c, chosen[i]->shape, context).alone().si();
    }
  };
  auto coefficients =
      fit_coefficients(parameters, measured, predict, options.iterations).coefficients;
  for (double& value : coefficients) {
    value = rounded(value);
  }
  for (std::size_t i = 0; i < coefficients.size(); ++i) {
    if (!parameters[i].fixed) {  // rounding must not leave the limits
      coefficients[i] = std::clamp(coefficients[i], form.parameters[i].min, form.parameters[i].max);
    }
  }
  return coefficients;
}

void collect_errors(const Rows& rows, const KernelForm& form, const KernelContext& context,
                    std::span<const double> coefficients, std::vector<double>& errors) {
  for (const KernelRow* row : rows) {
    const double time = form.evaluate(coefficients, row->shape, context).alone().si();
    errors.push_back(std::abs(time / row->seconds - 1));
  }
}

// What is left out together: shapes, or, when there is one shape only, its sizes.
std::uint64_t left_out_group(const KernelRow& row, bool one_shape) {
  return one_shape ? static_cast<std::uint64_t>(row.shape.dims[0]) : row.shape_group;
}

ErrorSummary left_out_error(const Rows& rows, const KernelForm& form, const KernelContext& context,
                            std::string_view kernel_source, const FitOptions& options) {
  const bool one_shape = std::ranges::all_of(rows, [&rows](const KernelRow* row) {
    return row->shape_group == rows.front()->shape_group;
  });
  std::set<std::uint64_t> groups;
  for (const KernelRow* row : rows) {
    groups.insert(left_out_group(*row, one_shape));
  }
  const std::vector<std::uint64_t> order(groups.begin(), groups.end());
  std::vector<double> errors;
  const auto folds = static_cast<std::size_t>(options.folds);
  for (std::size_t fold = 0; fold < folds; ++fold) {
    Rows kept;
    Rows left_out;
    for (const KernelRow* row : rows) {
      const auto place = std::ranges::lower_bound(order, left_out_group(*row, one_shape));
      const bool out = static_cast<std::size_t>(place - order.begin()) % folds == fold;
      (out ? left_out : kept).push_back(row);
    }
    if (!kept.empty() && !left_out.empty()) {
      collect_errors(left_out, form, context, fit_rows(kept, form, context, kernel_source, options),
                     errors);
    }
  }
  return summarise(std::move(errors));
}

std::vector<FitRange> ranges_of(const Rows& rows) {
  const DimNames dims = dim_names(rows.front()->shape.key.kind);
  std::vector<FitRange> ranges;
  for (std::size_t i = 0; i < dims.ranged; ++i) {
    FitRange range{rows.front()->shape.dims[i], rows.front()->shape.dims[i]};
    for (const KernelRow* row : rows) {
      range.min = std::min(range.min, row->shape.dims[i]);
      range.max = std::max(range.max, row->shape.dims[i]);
    }
    ranges.push_back({rounded(range.min), rounded(range.max)});
  }
  return ranges;
}

// Rows that may be fitted. A case in which some row beats the bound measured something else in the
// others too, so that all its rows go.
Rows usable_rows(const KernelRows& table, const DevicePeaks& device) {
  using Case = std::tuple<std::uint16_t, std::uint64_t, std::uint16_t, double, double>;
  const auto case_of = [](const KernelRow& row) {
    return Case(row.source, row.shape_group, row.group, row.shape.dims[dim::inter],
                row.shape.dims[dim::local_experts]);
  };
  const auto is_moe = [](const KernelRow& row) {
    return row.shape.key.kind == KernelKind::moe || row.shape.key.kind == KernelKind::moe_ungated;
  };
  std::set<Case> broken;
  for (const KernelRow& row : table.rows) {
    if (is_moe(row) && beats_physics(row, device)) {
      broken.insert(case_of(row));
    }
  }
  Rows rows;
  for (const KernelRow& row : table.rows) {
    if (!beats_physics(row, device) && !(is_moe(row) && broken.contains(case_of(row)))) {
      rows.push_back(&row);
    }
  }
  return rows;
}

struct FamilyId {
  std::string name;
  std::string source;
  friend auto operator<=>(const FamilyId&, const FamilyId&) = default;
};

// "# source: X; device: Y" -> "X; device: Y".
std::string citation(const std::string& comment) {
  std::string text = comment.substr(0, comment.find('\n'));
  const std::string_view prefix = " source: ";
  return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
}

// Roofline coefficients of all families, to take medians of.
struct SpecSheetEvidence {
  std::vector<FittedFamily> families;
};

void fit_file(const KernelRows& table, const DevicePeaks& device, const FitOptions& options,
              std::vector<FittedFamily>& out, SpecSheetEvidence& evidence) {
  std::map<FamilyId, Rows> families;
  for (const KernelRow* row : usable_rows(table, device)) {
    families[{family_name(row->shape.key), table.sources[row->source]}].push_back(row);
  }
  std::map<FamilyId, std::int64_t> all;
  for (const KernelRow& row : table.rows) {
    ++all[{family_name(row.shape.key), table.sources[row.source]}];
  }
  for (const auto& [id, rows] : families) {
    const KernelKey key = rows.front()->shape.key;
    const KernelContext context = kernel_context(device, key);
    FittedFamily family = fit_family(rows, form_of(key.kind), context, id.source, options);
    family.rows_skipped = all[id] - family.rows_used;
    family.source = citation(table.citation);
    out.push_back(family);
    evidence.families.push_back(
        fit_family(rows, *find_form("roofline"), context, id.source, options));
  }
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

template <class Value>
double median_of(const std::vector<const FittedFamily*>& families, Value value) {
  std::vector<double> values;
  for (const FittedFamily* family : families) {
    values.push_back(value(*family));
  }
  return rounded(median(std::move(values)));
}

KernelProfile spec_sheet(const SpecSheetEvidence& evidence, const FitOptions& options) {
  KernelProfile profile;
  profile.device.device = "any";
  profile.framework = k_spec_sheet;
  profile.version = "1";
  profile.date = options.date;
  for (std::size_t kind = 0; kind < k_kernel_kinds; ++kind) {
    std::vector<const FittedFamily*> families;
    for (const FittedFamily& family : evidence.families) {
      if (family.kind == static_cast<KernelKind>(kind)) {
        families.push_back(&family);
      }
    }
    if (families.empty()) {
      continue;
    }
    FittedFamily family;
    family.kind = static_cast<KernelKind>(kind);
    family.preferred = true;
    family.form = find_form("roofline");
    for (std::size_t i = 0; i < family.form->parameters.size(); ++i) {
      family.coefficients.push_back(
          median_of(families, [i](const FittedFamily& f) { return f.coefficients[i]; }));
    }
    family.in_sample = {
        median_of(families, [](const FittedFamily& f) { return f.in_sample.median; }),
        median_of(families, [](const FittedFamily& f) { return f.in_sample.p90; })};
    family.left_out = {median_of(families, [](const FittedFamily& f) { return f.left_out.median; }),
                       median_of(families, [](const FittedFamily& f) { return f.left_out.p90; })};
    family.naive = {median_of(families, [](const FittedFamily& f) { return f.naive.median; }),
                    median_of(families, [](const FittedFamily& f) { return f.naive.p90; })};
    for (const FittedFamily* f : families) {
      family.rows_used += f->rows_used;
    }
    family.source = "median of the roofline coefficients of " + std::to_string(families.size()) +
                    " measured families of this operation; errors: medians over those families, "
                    "each with its own coefficients";
    profile.families.push_back(family);
  }
  return profile;
}

// Of several kernels of one family the best measured one answers when none is named.
void choose_preferred(std::vector<FittedFamily>& families) {
  for (FittedFamily& family : families) {
    family.preferred = std::ranges::none_of(families, [&family](const FittedFamily& other) {
      return other.name() == family.name() &&
             (other.rows_used > family.rows_used ||
              (other.rows_used == family.rows_used && other.kernel_source < family.kernel_source));
    });
  }
}

}  // namespace

const KernelForm& form_of(KernelKind kind) {
  constexpr std::array<std::string_view, k_kernel_kinds> names{"gemm_tiles",
                                                               "gemm_tiles",
                                                               "moe_grouped",
                                                               "moe_grouped",
                                                               "attention_causal_tiles",
                                                               "attention_split_kv",
                                                               "mla_causal_tiles",
                                                               "mla_split_kv",
                                                               "stream"};
  return *find_form(names.at(static_cast<std::size_t>(kind)));
}

std::string profile_file_name(const KernelProfile& profile) {
  if (profile.framework == k_spec_sheet) {
    return "spec_sheet.json";
  }
  return profile.device.device + "." + profile.framework + "-" + profile.version + ".json";
}

ErrorSummary summarise(std::vector<double> errors) {
  if (errors.empty()) {
    return {};
  }
  std::ranges::sort(errors);
  const double p90 = errors[std::min(errors.size() - 1, errors.size() * 9 / 10)];
  return {rounded(median(std::move(errors))), rounded(p90)};
}

FittedFamily fit_family(const Rows& rows, const KernelForm& form, const KernelContext& context,
                        const std::string& kernel_source, const FitOptions& options) {
  ensure(!rows.empty(), "a family has rows");
  FittedFamily family;
  const KernelKey key = rows.front()->shape.key;
  family.kind = key.kind;
  family.dtype = key.dtype;
  family.storage = key.storage;
  family.kernel_source = kernel_source;
  family.form = &form;
  family.coefficients = fit_rows(rows, form, context, kernel_source, options);
  family.range = ranges_of(rows);
  family.rows_used = static_cast<std::int64_t>(rows.size());
  std::vector<double> errors;
  collect_errors(rows, form, context, family.coefficients, errors);
  family.in_sample = summarise(std::move(errors));
  family.left_out = left_out_error(rows, form, context, kernel_source, options);
  std::vector<double> naive;
  for (const KernelRow* row : rows) {
    naive.push_back(std::abs(row->naive_seconds / row->seconds - 1));
  }
  family.naive = summarise(std::move(naive));
  return family;
}

std::vector<KernelProfile> fit_profiles(const std::string& dir, const DeviceLookup& devices,
                                        const FitOptions& options, const Progress& progress) {
  using Id = std::tuple<std::string, std::string, std::string>;
  std::map<Id, KernelProfile> profiles;
  SpecSheetEvidence evidence;
  LoadGenerator loads(options.seed);
  const auto files = measured_files(dir);
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (progress) {
      progress(i, files.size(), files[i].path);
    }
    const KernelRows table = read_kernel_rows(files[i], devices, loads);
    if (table.rows.empty()) {
      continue;
    }
    const MeasuredFile& file = files[i];
    KernelProfile& profile = profiles[{file.system, file.framework, file.version}];
    profile.device = table.device;
    profile.framework = file.framework;
    profile.version = file.version;
    profile.date = options.date;
    fit_file(table, profile.device, options, profile.families, evidence);
  }
  if (profiles.empty()) {
    throw ConfigError(dir, "holds no kernel measurements of a known system");
  }
  std::vector<KernelProfile> result;
  for (auto& [id, profile] : profiles) {
    choose_preferred(profile.families);
    result.push_back(std::move(profile));
  }
  result.push_back(spec_sheet(evidence, options));
  return result;
}

}  // namespace moesim
