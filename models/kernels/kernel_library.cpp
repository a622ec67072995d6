#include "models/kernels/kernel_library.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "sim/core/catalog.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

// A device whose rates were changed (a what-if) is no longer the one that was measured.
constexpr double k_same_rate = 0.01;

bool near(double a, double b) { return std::abs(a - b) <= k_same_rate * std::abs(b); }

bool same_rates(const DevicePeaks& device, const DevicePeaks& fitted) {
  if (!near(device.memory.si(), fitted.memory.si()) ||
      device.multiprocessors != fitted.multiprocessors) {
    return false;
  }
  return std::ranges::all_of(fitted.peak, [&device](const auto& entry) {
    const auto found = device.peak.find(entry.first);
    return found == device.peak.end() || near(found->second.si(), entry.second.si());
  });
}

bool same_device(const DevicePeaks& device, const DevicePeaks& fitted) {
  return device.device == fitted.device && same_rates(device, fitted);
}

// Whose spec-sheet coefficients stand in: for kinds that only benchmarks time as one, for windows,
// and for counted work.
KernelKind spec_sheet_kind(KernelKind kind) {
  switch (kind) {
    case KernelKind::mlp:
      return KernelKind::moe;
    case KernelKind::mla_module_context:
      return KernelKind::mla_context;
    case KernelKind::mla_module_decode:
      return KernelKind::mla_decode;
    default:
      return is_counted(kind) ? KernelKind::gemm : without_window(kind);
  }
}

// 1 for forms without arithmetic.
double e_comp_of(const FittedFamily& family) {
  const auto& parameters = family.form->parameters;
  const auto found = std::ranges::find(parameters, "e_comp", &Parameter::name);
  return found == parameters.end()
             ? 1.0
             : family.coefficients[static_cast<std::size_t>(found - parameters.begin())];
}

}  // namespace

KernelLibrary::KernelLibrary(const std::vector<std::string>& profile_dirs) {
  for (const std::string& name : catalog_names(profile_dirs)) {
    profiles_.push_back(std::make_unique<KernelProfileFile>(find_in_catalog(name, profile_dirs)));
  }
  order();
}

KernelLibrary::KernelLibrary(std::vector<KernelProfile> profiles) {
  for (KernelProfile& profile : profiles) {
    profiles_.push_back(std::make_unique<KernelProfileFile>(std::move(profile)));
  }
  order();
}

// "0.5.6.post2" < "0.5.14" < "1.3.0rc9" < "1.3.0rc20": numbers count as numbers.
std::strong_ordering compare_versions(std::string_view a, std::string_view b) {
  const auto digits = [](std::string_view text) {
    const auto end = std::ranges::find_if_not(text, [](char c) { return c >= '0' && c <= '9'; });
    return text.substr(0, static_cast<std::size_t>(end - text.begin()));
  };
  while (!a.empty() && !b.empty()) {
    std::string_view x = digits(a);
    std::string_view y = digits(b);
    if (x.empty() || y.empty()) {
      if (a[0] != b[0]) {
        return a[0] <=> b[0];
      }
      x = a.substr(0, 1);
      y = b.substr(0, 1);
    }
    a.remove_prefix(x.size());
    b.remove_prefix(y.size());
    x.remove_prefix(std::min(x.find_first_not_of('0'), x.size()));
    y.remove_prefix(std::min(y.find_first_not_of('0'), y.size()));
    const auto order = x.size() != y.size() ? x.size() <=> y.size() : x <=> y;
    if (order != 0) {
      return order;
    }
  }
  return a.size() <=> b.size();
}

// By name, so that folders and their order of reading decide nothing; of one framework the highest
// version comes first.
void KernelLibrary::order() {
  std::ranges::sort(profiles_, [](const auto& first, const auto& second) {
    const KernelProfile& a = first->head();
    const KernelProfile& b = second->head();
    const auto order =
        std::tie(a.device.device, a.framework) <=> std::tie(b.device.device, b.framework);
    return order != 0 ? order < 0 : compare_versions(a.version, b.version) > 0;
  });
  for (std::size_t i = 1; i < profiles_.size(); ++i) {
    const std::string name = profiles_[i]->head().name();
    if (name == profiles_[i - 1]->head().name()) {
      throw ConfigError(name, "two kernel profiles have this name");
    }
  }
}

std::vector<const KernelProfile*> KernelLibrary::profiles() const {
  std::vector<const KernelProfile*> all;
  for (const auto& profile : profiles_) {
    all.push_back(&profile->whole());
  }
  return all;
}

std::vector<std::string> KernelLibrary::frameworks() const {
  std::set<std::string> names{std::string(k_spec_sheet)};
  for (const auto& profile : profiles_) {
    names.insert(profile->head().framework);
  }
  return {names.begin(), names.end()};
}

std::vector<std::string> KernelLibrary::versions() const {
  std::set<std::string> names;
  for (const auto& profile : profiles_) {
    if (profile->head().framework != k_spec_sheet) {
      names.insert(profile->head().framework + "-" + profile->head().version);
    }
  }
  return {names.begin(), names.end()};
}

bool KernelLibrary::knows(std::string_view wish) const {
  if (wish == k_auto_kernels || wish == k_spec_sheet) {
    return true;
  }
  const LawWish wanted = parse_law_wish(wish);
  return std::ranges::any_of(profiles_, [&wanted](const auto& profile) {
    const KernelProfile& head = profile->head();
    return head.framework == wanted.framework &&
           (wanted.version.empty() || head.version == wanted.version);
  });
}

// A profile's nearest law for the key; nullopt if it has none.
std::optional<KernelLibrary::Law> KernelLibrary::nearest_law(const KernelProfileFile& file,
                                                             const KernelKey& key) {
  const std::vector<KernelKey> keys = relatives(key);
  Law law{.file = &file};
  for (const ExpertLayout layout : layouts_by_preference(key.algorithm.layout)) {
    for (std::size_t i = 0; i < keys.size(); ++i) {
      law.key = keys[i];
      law.key.algorithm.layout = layout;
      law.same_keys = keys[i].kind == key.kind || without_window(key.kind) == key.kind;
      KernelKey asked = key;
      asked.kind = law.same_keys ? key.kind : without_window(key.kind);
      law.exact = with_bf16(keys[i]) == with_bf16(asked);
      law.same_layout = layout == key.algorithm.layout;
      law.standing[LawCriterion::formats] = static_cast<double>(i);
      if (file.may_hold(law.key.kind) && file.laws().contains(family_name(law.key))) {
        return law;
      }
    }
    if (!has_layout(key.kind)) {
      break;
    }
    law.standing[LawCriterion::layout] += 1;
  }
  return std::nullopt;
}

void KernelLibrary::stand(Law& law, const DevicePeaks& device, const KernelKey& key,
                          const BindOptions& options) {
  const KernelProfile& head = law.file->head();
  const LawWish wish = parse_law_wish(options.wish);
  const bool framework = wish.framework.empty() || head.framework == wish.framework;
  const bool version = wish.version.empty() || (framework && head.version == wish.version);
  const auto named = [&] {
    return options.kernel_source.empty() ||
           find_family(law.file->whole(), law.key, options.kernel_source)->kernel_source ==
               options.kernel_source;
  };
  // What DeepEP lays out is multiplied by one library, whoever calls it.
  const bool same_kernels = framework || law.key.algorithm.layout != ExpertLayout::fused;
  law.kinship = kinship(device, head.device, same_kernels).value();
  law.standing[LawCriterion::version] = version ? 0 : 1;
  law.standing[LawCriterion::die] = law.same_die() ? 0 : 1;
  law.standing[LawCriterion::device] = nearness(device, head.device);
  law.standing[LawCriterion::framework] = framework ? 0 : 1;
  law.standing[LawCriterion::kernel_source] = named() ? 0 : 1;
  const KnownLaw& known = law.file->laws().find(family_name(law.key))->second;
  law.standing[LawCriterion::launches] = options.captured && known.host_bound ? 1 : 0;
  law.standing[LawCriterion::path] = known.slow_path ? 1 : 0;
  law.standing[LawCriterion::error] =
      expected_error(known.left_out, added_sigma(law, device), device, head.device, key.dtype);
}

// Of equal ones the order of the library decides.
std::vector<KernelLibrary::Law> KernelLibrary::ranking(const DevicePeaks& device,
                                                       const KernelKey& key,
                                                       const BindOptions& options) const {
  std::vector<Law> laws;
  if (options.wish == k_spec_sheet) {
    return laws;
  }
  for (const auto& file : profiles_) {
    const KernelProfile& head = file->head();
    if (head.framework == k_spec_sheet || head.device.device == options.without_device ||
        !kinship(device, head.device, true)) {
      continue;
    }
    if (auto law = nearest_law(*file, key)) {
      stand(*law, device, key, options);
      laws.push_back(*law);
    }
  }
  std::ranges::stable_sort(laws, {}, &Law::standing);
  return laws;
}

double KernelLibrary::added_sigma(const Law& law, const DevicePeaks& device) {
  const DevicePeaks& fitted = law.file->head().device;
  // Products of one die that differ in their links alone run the same kernels.
  const bool twin = law.kinship == Kinship::same_die && same_rates(device, fitted);
  const bool itself = same_device(device, fitted);
  return std::max({twin || itself ? 0.0 : transfer_sigma(law.kinship),
                   law.exact ? 0.0 : transfer_sigma(Kinship::same_device_framework),
                   law.same_layout ? 0.0 : k_sigma_other_layout,
                   law.same_keys ? 0.0 : k_sigma_other_keys});
}

Basis KernelLibrary::basis_of(const Law& law, const DevicePeaks& device) {
  const bool its_own = law.exact && law.same_layout && law.same_keys;
  return its_own && same_device(device, law.file->head().device) ? Basis::calibrated
                                                                 : Basis::transferred;
}

LawEvidence KernelLibrary::evidence(const DevicePeaks& device, const KernelKey& key,
                                    const BindOptions& options) const {
  const std::vector<Law> laws = ranking(device, key, options);
  if (laws.empty()) {
    return {};
  }
  const Law& law = laws.front();
  return {.basis = basis_of(law, device),
          .other_layout = !law.same_layout,
          .other_formats = !law.exact};
}

BoundFamily KernelLibrary::measured(const DevicePeaks& device, const KernelKey& key, const Law& law,
                                    std::string_view kernel_source) {
  const KernelProfile& profile = law.file->whole();
  const DevicePeaks& fitted = profile.device;
  BoundFamily bound;
  bound.profile = &profile;
  bound.family = find_family(profile, law.key, kernel_source);
  bound.spec = kernel_context(device, key);
  bound.context = transferred_context(device, fitted, key, e_comp_of(*bound.family));
  bound.coefficients = transferred_coefficients(*bound.family, device, fitted);
  if (supports(fitted, key.dtype)) {
    bound.fitted = kernel_context(fitted, key);
    bound.moved = bound.context != bound.fitted;
  }
  bound.basis = basis_of(law, device);
  bound.exact = law.exact;
  bound.same_layout = law.same_layout;
  bound.same_keys = law.same_keys;
  bound.corrected = law.exact && bound.family->correction != nullptr;
  bound.transfer_sigma = added_sigma(law, device);
  if (is_counted(key.kind) && bound.family->rows_used < k_few_rows) {
    bound.transfer_sigma = std::hypot(bound.transfer_sigma, k_sigma_few_rows);
  }
  bound.rank = law.standing;
  return bound;
}

BoundFamily KernelLibrary::from_spec_sheet(const DevicePeaks& device, const KernelKey& key) const {
  for (const auto& file : profiles_) {
    if (file->head().framework != k_spec_sheet) {
      continue;
    }
    const KernelProfile& profile = file->whole();
    const FittedFamily* family = find_family(profile, key);
    if (family == nullptr) {
      family = find_family(profile, {spec_sheet_kind(key.kind), key.dtype, key.storage});
    }
    if (family != nullptr) {
      BoundFamily bound;
      bound.profile = &profile;
      bound.family = family;
      bound.spec = kernel_context(device, key);
      bound.context = bound.spec;
      bound.coefficients = family->coefficients;
      bound.same_keys = without_window(key.kind) == key.kind;
      return bound;
    }
  }
  throw ConfigError(family_name(key), "no kernel profile answers for " + device.device +
                                          " and there is no spec_sheet.json to fall back to");
}

BoundFamily KernelLibrary::bind(const DevicePeaks& device, const KernelKey& key,
                                const BindOptions& options) const {
  const std::vector<Law> laws = ranking(device, key, options);
  return laws.empty() ? from_spec_sheet(device, key)
                      : measured(device, key, laws.front(), options.kernel_source);
}

std::vector<BoundFamily> KernelLibrary::bind_all(const DevicePeaks& device, const KernelKey& key,
                                                 const BindOptions& options) const {
  std::vector<BoundFamily> all;
  for (const Law& law : ranking(device, key, options)) {
    all.push_back(measured(device, key, law, options.kernel_source));
  }
  const bool sheet = std::ranges::any_of(
      profiles_, [](const auto& file) { return file->head().framework == k_spec_sheet; });
  if (sheet || all.empty()) {
    all.push_back(from_spec_sheet(device, key));
  }
  return all;
}

}  // namespace moesim
