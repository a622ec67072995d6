// All profiles of some folders, and the rule which of them answers for a kernel.
#pragma once

#include <compare>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/kernels/kernel_bound.h"
#include "models/kernels/kernel_choice.h"
#include "models/kernels/kernel_profile_file.h"

namespace moesim {

// By the numbers in them: "0.5.6.post2" < "0.5.14"; "1.3.0rc9" < "1.3.0rc20".
std::strong_ordering compare_versions(std::string_view a, std::string_view b);

// What a law rests on; smaller is better. Compared between formats of one operation.
struct LawEvidence {
  Basis basis = Basis::uncalibrated;
  bool other_layout = false;
  bool other_formats = false;

  friend auto operator<=>(const LawEvidence&, const LawEvidence&) = default;
};

struct BindOptions {
  std::string_view wish;  // see LawWish; "spec_sheet" forces the fallback
  // Picks among several kernels of a family; where it is unknown or empty the preferred one
  // answers.
  std::string_view kernel_source = {};
  std::string_view without_device = {};  // as if nobody had measured it
  // The kernel's launch is captured: families that timed the host's (FittedFamily::host_floor)
  // answer only where nothing else that was measured does.
  bool captured = false;
};

// Immutable to its users and thread-safe; profiles are read when they are first considered.
class KernelLibrary {
 public:
  // Every *.json of the folders. Throws ConfigError for two profiles of one name or a file that is
  // no profile. Damage among a profile's families is reported when it is read.
  explicit KernelLibrary(const std::vector<std::string>& profile_dirs);
  explicit KernelLibrary(std::vector<KernelProfile> profiles);

  // All of them, read.
  [[nodiscard]] std::vector<const KernelProfile*> profiles() const;
  // Frameworks there are, sorted, "spec_sheet" included.
  [[nodiscard]] std::vector<std::string> frameworks() const;

  // "trtllm-1.3.0rc20", each once, sorted.
  [[nodiscard]] std::vector<std::string> versions() const;
  // Whether a profile is of this framework or version.
  [[nodiscard]] bool knows(std::string_view wish) const;

  // The law that answers by the rule of KERNELS.md ("Which law answers"): of each profile its
  // nearest, of these the first by LawCriterion, at last the spec sheet. Only the profile that
  // answers is read where heads list their laws. Throws ConfigError when the device cannot compute
  // in the format, when nothing answers, or for a damaged profile. The result points into this
  // library.
  [[nodiscard]] BoundFamily bind(const DevicePeaks& device, const KernelKey& key,
                                 const BindOptions& options) const;
  // What it rests on, without reading it.
  [[nodiscard]] LawEvidence evidence(const DevicePeaks& device, const KernelKey& key,
                                     const BindOptions& options) const;
  // It and the runners-up, the spec sheet last; reads every profile that has one.
  [[nodiscard]] std::vector<BoundFamily> bind_all(const DevicePeaks& device, const KernelKey& key,
                                                  const BindOptions& options) const;

 private:
  struct Law {
    const KernelProfileFile* file = nullptr;
    KernelKey key = {};  // of the family
    Kinship kinship = Kinship::same_device;
    bool exact = false;        // the formats that were asked for
    bool same_layout = false;  // of experts' rows
    bool same_keys = true;     // false: attention to all keys for a window of them
    LawStanding standing = {};

    [[nodiscard]] bool same_die() const { return kinship <= Kinship::same_die_framework; }
  };
  void order();
  [[nodiscard]] static std::optional<Law> nearest_law(const KernelProfileFile& file,
                                                      const KernelKey& key);
  static void stand(Law& law, const DevicePeaks& device, const KernelKey& key,
                    const BindOptions& options);
  [[nodiscard]] std::vector<Law> ranking(const DevicePeaks& device, const KernelKey& key,
                                         const BindOptions& options) const;
  [[nodiscard]] static Basis basis_of(const Law& law, const DevicePeaks& device);
  [[nodiscard]] static double added_sigma(const Law& law, const DevicePeaks& device);
  [[nodiscard]] static BoundFamily measured(const DevicePeaks& device, const KernelKey& key,
                                            const Law& law, std::string_view kernel_source);
  [[nodiscard]] BoundFamily from_spec_sheet(const DevicePeaks& device, const KernelKey& key) const;

  std::vector<std::unique_ptr<const KernelProfileFile>> profiles_;
};

}  // namespace moesim
