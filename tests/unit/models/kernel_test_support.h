// Devices and profiles for the tests of kernel models.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "models/kernels/kernel_library.h"
#include "models/kernels/kernel_profile.h"
#include "sim/core/rng.h"

namespace moesim::test {

inline DevicePeaks round_device() {
  DevicePeaks device;
  device.device = "round";
  device.architecture = "circle";
  device.peak = {{DType::bf16, FlopRate(1e15)}, {DType::fp8, FlopRate(2e15)}};
  device.memory = Bandwidth(1e12);
  device.multiprocessors = 100;
  device.l2 = Bytes(5e7);
  return device;
}

inline DevicePeaks h100() {
  DevicePeaks device;
  device.device = "h100_sxm";
  device.architecture = "gh100";
  device.peak = {{DType::bf16, FlopRate(989e12)}, {DType::fp8, FlopRate(1978e12)}};
  device.memory = Bandwidth(3.35e12);
  device.multiprocessors = 132;
  device.l2 = Bytes(50 * 0x1p20);
  return device;
}

inline std::vector<std::string> shipped_profiles() {
  std::vector<std::string> dirs;
  dirs.emplace_back(MOESIM_SOURCE_DIR "/models/profiles");
  return dirs;
}

// A family of the plain roofline with the coefficients (t0, e_comp, e_mem).
inline FittedFamily roofline_family(const KernelKey& key, std::vector<double> coefficients,
                                    std::string source = "k") {
  FittedFamily family;
  family.kind = key.kind;
  family.dtype = key.dtype;
  family.storage = key.storage;
  family.kernel_source = std::move(source);
  family.form = find_form("roofline");
  family.coefficients = std::move(coefficients);
  family.source = "made for a test";
  return family;
}

inline KernelProfile profile_of(const DevicePeaks& device, std::string framework,
                                std::vector<FittedFamily> families) {
  KernelProfile profile;
  profile.device = device;
  profile.framework = std::move(framework);
  profile.version = "1";
  profile.date = "2026-08";
  profile.families = std::move(families);
  return profile;
}

// As if the profile had this family alone.
inline KernelLibrary library_of(KernelProfile profile, const FittedFamily& family) {
  profile.families = {family};
  profile.operations.clear();
  profile.laws.clear();
  return KernelLibrary({std::move(profile)});
}

inline double log_uniform(Rng& rng, double low, double high) {
  return std::floor(std::exp(std::log(low) + (std::log(high) - std::log(low)) * rng.uniform()));
}

// A shape of the family's kind with these dimensions of its range and what follows from them;
// `share`: of all pairs, those on the rank.
inline KernelShape whole_shape(const FittedFamily& family, const KernelDims& ranged, double share) {
  KernelShape shape;
  shape.key = {family.kind, *family.dtype, *family.storage, family.algorithm};
  shape.dims = ranged;
  KernelDims& d = shape.dims;
  switch (family.kind) {
    case KernelKind::gemm:
      d[dim::batch] = 1;
      break;
    case KernelKind::moe:
    case KernelKind::moe_ungated:
      d[dim::matrices] = family.kind == KernelKind::moe ? 3 : 2;
      d[dim::pairs] = std::max(1.0, std::floor(d[dim::tokens] * d[dim::top_k] * share));
      d[dim::touched] = std::min(d[dim::local_experts], d[dim::pairs]);
      d[dim::tiles_64] = d[dim::touched] + std::floor(d[dim::pairs] / 64);
      d[dim::tiles_128] = d[dim::touched] + std::floor(d[dim::pairs] / 128);
      break;
    case KernelKind::mlp:
      d[dim::matrices] = 3;
      d[dim::pairs] = d[dim::busiest] = d[dim::tokens];
      d[dim::touched] = 1;
      d[dim::tiles_64] = std::ceil(d[dim::tokens] / 64);
      d[dim::tiles_128] = std::ceil(d[dim::tokens] / 128);
      break;
    case KernelKind::attention_context:
    case KernelKind::attention_decode:
    case KernelKind::mla_context:
    case KernelKind::mla_decode:
    case KernelKind::mla_module_context:
    case KernelKind::mla_module_decode:
      d[dim::context] = std::max(d[dim::context], d[dim::query_len]);
      break;
    default:
      if (is_counted(family.kind)) {  // of attention to a latent of 512, as one kind for all
        d[dim::flops] = d[dim::computed] =
            2 * d[dim::sequences] * d[dim::query_len] * d[dim::context] * d[dim::heads] * 1024;
        d[dim::bytes] = 512 * d[dim::sequences] * (d[dim::context] + d[dim::heads]);
      }
      break;
  }
  if (family.kind == KernelKind::attention_context || family.kind == KernelKind::attention_decode) {
    d[dim::heads] = d[dim::kv_heads] * std::max(1.0, std::floor(d[dim::heads] / d[dim::kv_heads]));
  }
  return shape;
}

// A shape of the family's kind with every dimension drawn from the fitted range.
inline KernelShape random_shape(const FittedFamily& family, Rng& rng) {
  KernelDims drawn{};
  for (std::size_t i = 0; i < family.range.size(); ++i) {
    drawn[i] = std::max(
        1.0, log_uniform(rng, std::max(1.0, family.range[i].min), family.range[i].max + 1));
  }
  return whole_shape(family, drawn, rng.uniform());
}

// Half of them at corners of the fitted range, half drawn from it.
inline std::vector<KernelShape> corner_shapes(const FittedFamily& family, Rng& rng, int count) {
  std::vector<KernelShape> shapes;
  for (int draw = 0; draw < count; ++draw) {
    if (draw % 2 == 1) {
      shapes.push_back(random_shape(family, rng));
      continue;
    }
    KernelDims corner{};
    for (std::size_t i = 0; i < family.range.size(); ++i) {
      corner[i] = std::max(1.0, rng.below(2) == 0 ? family.range[i].min : family.range[i].max);
    }
    shapes.push_back(whole_shape(family, corner, rng.below(2) == 0 ? 1.0 : 1e-3));
  }
  return shapes;
}

}  // namespace moesim::test
