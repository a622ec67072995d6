#include "models/kernels/kernel_transfer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "sim/core/error.h"

namespace moesim {
namespace {

struct Die {
  std::string_view architecture;
  double capability;  // CUDA compute capability
  bool graphics;      // GDDR memory, half of the tensor throughput per multiprocessor
};
constexpr std::array dies{Die{"ga100", 8.0, false},  Die{"ga102", 8.6, true},
                          Die{"ad102", 8.9, true},   Die{"ad104", 8.9, true},
                          Die{"gh100", 9.0, false},  Die{"gb100", 10.0, false},
                          Die{"gb110", 10.3, false}, Die{"gb202", 12.0, true}};
constexpr double k_other_market = 100;  // farther than any generation

// Of what a multiprocessor's arithmetic could do more, this power is lost in feeding and powering
// it: e_comp - 1 of dense products on A100, H100 and B200 (KERNELS.md).
constexpr double k_density_power = 0.6;

const Die* find_die(std::string_view architecture) {
  const auto found = std::ranges::find(dies, architecture, &Die::architecture);
  return found == dies.end() ? nullptr : &*found;
}

}  // namespace

std::optional<Kinship> kinship(const DevicePeaks& device, const DevicePeaks& fitted,
                               bool same_framework) {
  if (device.device == fitted.device) {
    return same_framework ? Kinship::same_device : Kinship::same_device_framework;
  }
  if (device.architecture == fitted.architecture) {
    return same_framework ? Kinship::same_die : Kinship::same_die_framework;
  }
  if (find_die(device.architecture) == nullptr || find_die(fitted.architecture) == nullptr) {
    return std::nullopt;
  }
  return same_framework ? Kinship::other_generation : Kinship::other_generation_framework;
}

double generation_distance(std::string_view architecture, std::string_view other) {
  if (architecture == other) {
    return 0.0;
  }
  const Die* a = find_die(architecture);
  const Die* b = find_die(other);
  if (a == nullptr || b == nullptr) {
    return std::numeric_limits<double>::infinity();
  }
  return std::abs(a->capability - b->capability) +
         (a->graphics != b->graphics ? k_other_market : 0.0);
}

KernelContext transferred_context(const DevicePeaks& device, const DevicePeaks& fitted,
                                  const KernelKey& key, double e_comp) {
  KernelContext context = kernel_context(device, key);
  const double own_sms = context.sms;
  context.sms = std::max(1, fitted.multiprocessors);
  context.on_die = fitted.memory.si() * own_sms / context.sms;
  if (e_comp > 1 && supports(fitted, key.dtype)) {
    const KernelContext from = kernel_context(fitted, key);
    const double density = (context.peak / own_sms) / (from.peak / from.sms);
    context.peak *= e_comp / (1 + (e_comp - 1) * std::pow(density, k_density_power));
  }
  return context;
}

std::vector<double> transferred_coefficients(const FittedFamily& family, const DevicePeaks& device,
                                             const DevicePeaks& fitted) {
  constexpr std::array<std::string_view, 5> per_multiprocessor{"t_tile", "t_projection_tile",
                                                               "t_item", "t_chunk", "softmax"};
  const double ratio = static_cast<double>(std::max(1, fitted.multiprocessors)) /
                       std::max(1, device.multiprocessors);
  std::vector<double> coefficients = family.coefficients;
  for (std::size_t i = 0; i < coefficients.size(); ++i) {
    if (std::ranges::find(per_multiprocessor, family.form->parameters[i].name) !=
        per_multiprocessor.end()) {
      coefficients[i] *= ratio;
    }
  }
  return coefficients;
}

// Half of the errors that leaving whole devices out shows (KERNELS.md, "Other devices"), as normal
// deviations.
double transfer_sigma(Kinship kinship) {
  switch (kinship) {
    case Kinship::same_device:
      return 0.0;
    case Kinship::same_die:
      return 0.08;
    case Kinship::same_device_framework:
    case Kinship::same_die_framework:
      return 0.2;
    case Kinship::other_generation:
      return 0.18;
    case Kinship::other_generation_framework:
      return 0.35;
  }
  throw InvariantError("every kinship has an error");
}

}  // namespace moesim
