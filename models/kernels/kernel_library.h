// All profiles of some folders, and the rule which of them answers for a kernel.
#pragma once

#include <compare>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/kernels/kernel_bound.h"
#include "models/kernels/kernel_profile_file.h"
#include "models/kernels/kernel_transfer.h"

namespace moesim {

// By the numbers in them: "0.5.6.post2" < "0.5.14"; "1.3.0rc9" < "1.3.0rc20".
std::strong_ordering compare_versions(std::string_view a, std::string_view b);

struct BindOptions {
  std::string_view framework;
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

  // The nearest profile that has the kernel (see Kinship); on the same die first with the exact
  // formats, then with the nearest relative (an ungated kernel from gated ones, int4 from fp4
  // weights); then other generations in the same way; at last the spec sheet. Throws ConfigError
  // when the device cannot compute in the format, when nothing answers, or for a damaged profile.
  // The result points into this library.
  [[nodiscard]] BoundFamily bind(const DevicePeaks& device, const KernelKey& key,
                                 const BindOptions& options) const;

 private:
  void order();
  struct Candidate {
    const KernelProfileFile* profile = nullptr;
    Kinship kinship = Kinship::same_device;
    double distance = 0;
  };
  struct Match {
    Candidate candidate;
    const FittedFamily* family = nullptr;
    bool exact = false;  // the formats that were asked for
  };
  [[nodiscard]] std::vector<Candidate> candidates(const DevicePeaks& device,
                                                  const BindOptions& options) const;
  [[nodiscard]] std::optional<Match> match(const std::vector<Candidate>& list, const KernelKey& key,
                                           std::string_view kernel_source,
                                           bool without_host_bound) const;
  [[nodiscard]] static BoundFamily measured(const DevicePeaks& device, const KernelKey& key,
                                            const Match& match);
  [[nodiscard]] BoundFamily from_spec_sheet(const DevicePeaks& device, const KernelKey& key) const;
  [[nodiscard]] const FittedFamily* find(const KernelProfile& profile, const KernelKey& key,
                                         std::string_view kernel_source,
                                         bool without_host_bound) const;

  std::vector<std::unique_ptr<const KernelProfileFile>> profiles_;
};

}  // namespace moesim
