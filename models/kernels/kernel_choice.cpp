#include "models/kernels/kernel_choice.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace moesim {

LawWish parse_law_wish(std::string_view text) {
  if (text == k_auto_kernels) {
    return {};
  }
  // As profile files are named: no framework has a dash in its name.
  const auto dash = text.find('-');
  if (dash == std::string_view::npos) {
    return {text, {}};
  }
  return {text.substr(0, dash), text.substr(dash + 1)};
}

KernelKey with_bf16(const KernelKey& key) {
  const auto to_bf16 = [](DType dtype) { return dtype == DType::fp16 ? DType::bf16 : dtype; };
  return {key.kind, to_bf16(key.dtype), to_bf16(key.storage), key.algorithm};
}

std::vector<KernelKey> relatives(const KernelKey& key) {
  std::vector<KernelKey> keys{key};
  const auto add = [&keys, &key](KernelKind kind, DType dtype, DType storage) {
    const KernelKey other{kind, dtype, storage, key.algorithm};
    if (std::ranges::find(keys, other) == keys.end()) {
      keys.push_back(other);
    }
  };
  const KernelKey base = with_bf16(key);
  add(base.kind, base.dtype, base.storage);
  if (base.kind == KernelKind::moe_ungated) {
    add(KernelKind::moe, base.dtype, base.storage);
  }
  // Weight-only kernels of both 4-bit formats unpack nibbles to 16 bits.
  if (base.dtype == DType::bf16 && base.storage == DType::int4) {
    add(base.kind, DType::bf16, DType::fp4);
  } else if (base.dtype == DType::bf16 && base.storage == DType::fp4) {
    add(base.kind, DType::bf16, DType::int4);
  }
  if (base.kind == KernelKind::batched_gemm && base.dtype == DType::fp8_block) {
    add(base.kind, DType::fp8, DType::fp8);
  }
  // Other stored formats change the bytes, which the context knows.
  add(base.kind, base.dtype, base.dtype);
  if (has_cache(base.kind) && base.dtype != DType::bf16) {
    add(base.kind, DType::bf16, base.storage);
  }
  // Counted bytes are those of the cache that is asked for.
  if (is_counted(base.kind)) {
    add(base.kind, base.dtype, DType::fp8);
  }
  // Attention to all keys stands in for attention to a window of them.
  if (without_window(key.kind) != key.kind) {
    KernelKey plain = key;
    plain.kind = without_window(key.kind);
    const std::vector<KernelKey> others = relatives(plain);
    keys.insert(keys.end(), others.begin(), others.end());
  }
  return keys;
}

// Both of DeepGEMM's layouts are grouped products on rows that lie where their experts are.
std::array<ExpertLayout, 3> layouts_by_preference(ExpertLayout wanted) {
  using enum ExpertLayout;
  switch (wanted) {
    case masked:
      return {masked, contiguous, fused};
    case contiguous:
      return {contiguous, masked, fused};
    case fused:
      break;
  }
  return {fused, contiguous, masked};
}

std::string_view advantage_of(LawCriterion criterion) {
  constexpr std::array<std::string_view, k_law_criteria> texts{
      "the version that is named",
      "the device's work was timed, not the host's launches",
      "experts' rows lie as the all-to-all leaves them",
      "measured on this die",
      "measured in the formats that are asked for",
      "the kernel that is named",
      "measured on this device or a nearer one",
      "the framework that is named",
      "no slow path, and no kernel that another framework's beats in most cases",
      "the smaller expected error"};
  return texts.at(static_cast<std::size_t>(criterion));
}

LawCriterion deciding_criterion(const LawStanding& better, const LawStanding& worse) {
  for (std::size_t i = 0; i < k_law_criteria; ++i) {
    if (better.rank.at(i) < worse.rank.at(i)) {
      return static_cast<LawCriterion>(i);
    }
  }
  return LawCriterion::error;
}

double nearness(const DevicePeaks& device, const DevicePeaks& fitted) {
  if (device.device == fitted.device) {
    return 0;
  }
  if (device.architecture == fitted.architecture) {
    return 1;
  }
  return 2 + std::round(generation_distance(device.architecture, fitted.architecture));
}

double expected_error(const ErrorSummary& left_out, double sigma, const DevicePeaks& device,
                      const DevicePeaks& fitted, DType dtype) {
  constexpr double of_median = 0.45;
  constexpr double of_p90 = 0.3;
  const double own = of_median * left_out.median + of_p90 * left_out.p90;
  if (sigma == 0) {
    return own;
  }
  const auto balance = [dtype](const DevicePeaks& d) {
    const KernelKey key{KernelKind::gemm, supports(d, dtype) ? dtype : DType::bf16, dtype};
    return supports(d, key.dtype) ? kernel_context(d, key).peak / d.memory.si() : 1.0;
  };
  const double difference = std::abs(std::log(balance(device) / balance(fitted)));
  const double generations = generation_distance(device.architecture, fitted.architecture);
  constexpr double most_generations = 4;
  return std::hypot(own, std::sqrt(2 / std::numbers::pi) * sigma *
                             (1 + difference + std::min(generations, most_generations)));
}

}  // namespace moesim
