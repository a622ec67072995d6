// All profiles of some folders, and the rule which of them answers for a kernel.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/kernel_profile.h"

namespace moesim {

// One fitted family bound to the device that it is evaluated for.
struct BoundFamily {
  const KernelProfile* profile = nullptr;
  const FittedFamily* family = nullptr;
  Basis basis = Basis::uncalibrated;
  bool corrected = false;  // the family's correction holds for this key
  KernelContext context;

  [[nodiscard]] KernelEstimate estimate(const KernelShape& shape) const;
};

class KernelLibrary {
 public:
  // Every *.json of the folders. Throws ConfigError for a damaged profile or two of one name.
  explicit KernelLibrary(const std::vector<std::string>& profile_dirs);
  explicit KernelLibrary(std::vector<KernelProfile> profiles);

  [[nodiscard]] const std::vector<KernelProfile>& profiles() const { return profiles_; }
  // Frameworks there are, sorted, "spec_sheet" included.
  [[nodiscard]] std::vector<std::string> frameworks() const;

  // In this order: the device's own profile of the framework, its profiles of other frameworks,
  // those of another device of the same architecture; each first with the exact formats, then
  // with the nearest relative (an ungated kernel from gated ones, int4 from fp4 weights). At
  // last the spec sheet. `kernel_source` picks among several kernels of a family; unknown or
  // empty, the preferred one answers. Throws ConfigError when the device cannot compute in the
  // format, or nothing answers. The result points into this library.
  [[nodiscard]] BoundFamily bind(const DevicePeaks& device, std::string_view framework,
                                 const KernelKey& key, std::string_view kernel_source = {}) const;

 private:
  void order();
  bool find_measured(const DevicePeaks& device, std::string_view framework, const KernelKey& key,
                     std::string_view kernel_source, BoundFamily& bound) const;
  [[nodiscard]] const FittedFamily* find(const KernelProfile& profile, const KernelKey& key,
                                         std::string_view kernel_source) const;

  std::vector<KernelProfile> profiles_;
};

}  // namespace moesim
