#include "models/kernels/kernel_library.h"

#include <algorithm>
#include <cmath>
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

// Kernels of the two 16-bit formats differ in nothing that takes time.
KernelKey with_bf16(const KernelKey& key) {
  const auto to_bf16 = [](DType dtype) { return dtype == DType::fp16 ? DType::bf16 : dtype; };
  return {key.kind, to_bf16(key.dtype), to_bf16(key.storage)};
}

// The key itself, then keys whose kernels are built alike.
std::vector<KernelKey> relatives(const KernelKey& key) {
  std::vector<KernelKey> keys{key};
  const auto add = [&keys](KernelKey other) {
    if (std::ranges::find(keys, other) == keys.end()) {
      keys.push_back(other);
    }
  };
  add(with_bf16(key));
  const KernelKey base = keys.back();
  if (base.kind == KernelKind::moe_ungated) {
    add({KernelKind::moe, base.dtype, base.storage});
  }
  // Weight-only kernels of both 4-bit formats unpack nibbles to 16 bits.
  if (base.dtype == DType::bf16 && base.storage == DType::int4) {
    add({base.kind, DType::bf16, DType::fp4});
  } else if (base.dtype == DType::bf16 && base.storage == DType::fp4) {
    add({base.kind, DType::bf16, DType::int4});
  }
  if (base.kind == KernelKind::batched_gemm && base.dtype == DType::fp8_block) {
    add({base.kind, DType::fp8, DType::fp8});
  }
  // Other stored formats change the bytes, which the context knows.
  add({base.kind, base.dtype, base.dtype});
  if (base.kind >= KernelKind::attention_context && base.kind <= KernelKind::mla_decode &&
      base.dtype != DType::bf16) {
    add({base.kind, DType::bf16, base.storage});
  }
  return keys;
}

// Whose spec-sheet coefficients stand in for those of kinds that only benchmarks time as one.
KernelKind spec_sheet_kind(KernelKind kind) {
  switch (kind) {
    case KernelKind::mlp:
      return KernelKind::moe;
    case KernelKind::mla_module_context:
      return KernelKind::mla_context;
    case KernelKind::mla_module_decode:
      return KernelKind::mla_decode;
    default:
      return kind;
  }
}

bool has_kernel(const KernelProfile& profile, std::string_view kernel_source) {
  return std::ranges::find(profile.families, kernel_source, &FittedFamily::kernel_source) !=
         profile.families.end();
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

const FittedFamily* KernelLibrary::find(const KernelProfile& profile, const KernelKey& key,
                                        std::string_view kernel_source,
                                        bool without_host_bound) const {
  const FittedFamily* best = nullptr;
  for (const FittedFamily& family : profile.families) {
    if (!family.answers(key) || (without_host_bound && family.host_floor > 0)) {
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

std::vector<KernelLibrary::Candidate> KernelLibrary::candidates(const DevicePeaks& device,
                                                                const BindOptions& options) const {
  std::vector<Candidate> list;
  const auto add = [&](const KernelProfileFile& file) {
    const KernelProfile& head = file.head();
    if (head.framework == k_spec_sheet || head.device.device == options.without_device) {
      return;
    }
    if (const auto kin = kinship(device, head.device, head.framework == options.framework)) {
      list.push_back(
          {&file, *kin, generation_distance(device.architecture, head.device.architecture)});
    }
  };
  // Of equally near profiles one that measured the named kernel goes before a newer one without.
  for (const bool named : {true, false}) {
    for (const auto& file : profiles_) {
      const bool has =
          !options.kernel_source.empty() && has_kernel(file->whole(), options.kernel_source);
      if (has == named) {
        add(*file);
      }
    }
  }
  std::ranges::stable_sort(list, [](const Candidate& a, const Candidate& b) {
    return std::tie(a.kinship, a.distance) < std::tie(b.kinship, b.distance);
  });
  return list;
}

// Another format on the same die is nearer than the same format on another generation.
std::optional<KernelLibrary::Match> KernelLibrary::match(const std::vector<Candidate>& list,
                                                         const KernelKey& key,
                                                         std::string_view kernel_source,
                                                         bool without_host_bound) const {
  for (const bool same_die : {true, false}) {
    for (const KernelKey& relative : relatives(key)) {
      for (const Candidate& candidate : list) {
        if ((candidate.kinship <= Kinship::same_die_framework) != same_die ||
            !candidate.profile->may_hold(relative.kind)) {
          continue;
        }
        if (const auto* family =
                find(candidate.profile->whole(), relative, kernel_source, without_host_bound)) {
          return Match{candidate, family, with_bf16(relative) == with_bf16(key)};
        }
      }
    }
  }
  return std::nullopt;
}

BoundFamily KernelLibrary::measured(const DevicePeaks& device, const KernelKey& key,
                                    const Match& match) {
  const Kinship kin = match.candidate.kinship;
  const KernelProfile& profile = match.candidate.profile->whole();
  const DevicePeaks& fitted = profile.device;
  BoundFamily bound;
  bound.profile = &profile;
  bound.family = match.family;
  bound.spec = kernel_context(device, key);
  bound.context = transferred_context(device, fitted, key, e_comp_of(*match.family));
  bound.coefficients = transferred_coefficients(*match.family, device, fitted);
  if (supports(fitted, key.dtype)) {
    bound.fitted = kernel_context(fitted, key);
    bound.moved = bound.context != bound.fitted;
  }
  bound.basis = match.exact && same_device(device, fitted) ? Basis::calibrated : Basis::transferred;
  bound.corrected = match.exact && match.family->correction != nullptr;
  // Products of one die that differ in their links alone run the same kernels.
  const bool twin = kin == Kinship::same_die && same_rates(device, fitted);
  bound.transfer_sigma =
      std::max(twin ? 0.0 : transfer_sigma(kin),
               match.exact ? 0.0 : transfer_sigma(Kinship::same_device_framework));
  return bound;
}

BoundFamily KernelLibrary::from_spec_sheet(const DevicePeaks& device, const KernelKey& key) const {
  for (const auto& file : profiles_) {
    if (file->head().framework != k_spec_sheet) {
      continue;
    }
    const KernelProfile& profile = file->whole();
    const FittedFamily* family = find(profile, key, {}, false);
    if (family == nullptr) {
      family = find(profile, {spec_sheet_kind(key.kind), key.dtype, key.storage}, {}, false);
    }
    if (family != nullptr) {
      BoundFamily bound;
      bound.profile = &profile;
      bound.family = family;
      bound.spec = kernel_context(device, key);
      bound.context = bound.spec;
      bound.coefficients = family->coefficients;
      return bound;
    }
  }
  throw ConfigError(family_name(key), "no kernel profile answers for " + device.device +
                                          " and there is no spec_sheet.json to fall back to");
}

BoundFamily KernelLibrary::bind(const DevicePeaks& device, const KernelKey& key,
                                const BindOptions& options) const {
  if (options.framework != k_spec_sheet) {
    const auto list = candidates(device, options);
    for (const bool without_host_bound : {true, false}) {
      if (without_host_bound && !options.captured) {
        continue;
      }
      if (const auto found = match(list, key, options.kernel_source, without_host_bound)) {
        return measured(device, key, *found);
      }
    }
  }
  return from_spec_sheet(device, key);
}

}  // namespace moesim
