// Which of several laws answers: the rule of KERNELS.md, "Which law answers".
#pragma once

#include <array>
#include <compare>
#include <string>
#include <string_view>
#include <vector>

#include "models/kernels/kernel_profile.h"
#include "models/kernels/kernel_transfer.h"

namespace moesim {

inline constexpr std::string_view k_auto_kernels = "auto";

// What a user asks for: "auto", a framework ("trtllm") or one version of it ("sglang-0.5.10").
struct LawWish {
  std::string_view framework;  // empty: whichever
  std::string_view version;    // empty: whichever
};
LawWish parse_law_wish(std::string_view text);

// The key itself, then keys whose kernels are built alike, nearest first.
std::vector<KernelKey> relatives(const KernelKey& key);
// Kernels of the two 16-bit formats differ in nothing that takes time.
KernelKey with_bf16(const KernelKey& key);

// The layout itself, then those that stand in for it where no law of it exists.
std::array<ExpertLayout, 3> layouts_by_preference(ExpertLayout wanted);

// What decides between two laws, most important first.
enum class LawCriterion : std::uint8_t {
  version,        // the version that is named
  launches,       // the device's work was timed, not the host's launches (captured steps)
  layout,         // experts' rows lie as the all-to-all leaves them
  die,            // this die, not another generation
  formats,        // the formats that are asked for, not relatives
  kernel_source,  // the kernel that is named (validation)
  device,         // this device, else this die, else another generation, else another market
  framework,      // the framework that is named
  path,           // not a slow path
  error,          // the smaller expected error
};
inline constexpr std::size_t k_law_criteria = 10;
// Of the winner: "measured on this device".
std::string_view advantage_of(LawCriterion criterion);

// How a law stands to what is asked for: by criterion, smaller is better.
struct LawStanding {
  std::array<double, k_law_criteria> rank{};

  [[nodiscard]] double& operator[](LawCriterion c) { return rank.at(static_cast<std::size_t>(c)); }
  [[nodiscard]] double operator[](LawCriterion c) const {
    return rank.at(static_cast<std::size_t>(c));
  }
  friend auto operator<=>(const LawStanding&, const LawStanding&) = default;
};
// What the better one of two is better in; `error` when nothing tells them apart.
LawCriterion deciding_criterion(const LawStanding& better, const LawStanding& worse);

// Devices as classes: 0 the device itself, 1 its die, 2 a die of its generation, then a whole step
// of compute capability each, and a hundred for another market; so that criteria after it decide
// among products of a die. Only where kinship() is not nullopt.
double nearness(const DevicePeaks& device, const DevicePeaks& fitted);

// Mean relative error to be expected: of the left-out rows (quantile function through 0, median and
// 90 %), and of the transfer, which grows with the difference of the two devices' balance of
// arithmetic and bandwidth and with the generations between them. sigma: standard error that the
// transfer adds; 0 on the device itself.
double expected_error(const ErrorSummary& left_out, double sigma, const DevicePeaks& device,
                      const DevicePeaks& fitted, DType dtype);

// Standard error that another layout's law adds: TensorRT-LLM's fused law on H100 says 0.87 to 2.06
// times (p10, p90) what masked rows took, 0.62 to 1.92 times what contiguous ones did; root mean
// squares of the logarithms are 0.37 and 0.49.
inline constexpr double k_sigma_other_layout = 0.4;

// Standard error that attention to all keys has for a window of them. An assumption: no rows of
// windowed kernels are published in a form that profiles were fitted to.
inline constexpr double k_sigma_other_keys = 0.4;

// Standard error that a law adds on another device when it was fitted to few rows: one layer's
// widths on one device do not tell what another device changes. An assumption.
inline constexpr std::int64_t k_few_rows = 32;
inline constexpr double k_sigma_few_rows = 0.3;

}  // namespace moesim
