// Kernel times: time = model(op, device, profile). A profile is a file of fitted coefficients with
// source, date, fit range and error; where none exists the spec sheet answers, and says so.
#pragma once

#include <compare>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/operators/op.h"

namespace moesim {

// What kernel models may know of a device: the spec sheet.
struct DevicePeaks {
  std::string device;              // catalog name, "h800_sxm"
  std::string architecture;        // die, "gh100": profiles transfer within one
  std::map<DType, FlopRate> peak;  // dense, by peak_class(dtype)
  Bandwidth memory;                // read
  int multiprocessors = 0;
  Bytes l2;

  friend auto operator<=>(const DevicePeaks&, const DevicePeaks&) = default;
};

enum class Basis {
  calibrated,    // fitted on measurements of this device
  transferred,   // fitted on another device; rates rescaled by the spec sheets
  uncalibrated,  // spec-sheet roofline
};
std::string_view name_of(Basis basis);

// Alone on the device the kernel takes fixed + max(compute, memory). compute and memory are
// seconds of the whole device's arithmetic units and of its whole memory bandwidth, so that
// kernels of two streams share them.
struct KernelEstimate {
  Seconds fixed;
  Seconds compute;
  Seconds memory;
  bool extrapolated = false;  // shape outside the range that the family was fitted on
  double sigma = 0.0;         // relative standard error of alone(): of its logarithm
  Flops flops;                // useful arithmetic and least traffic (op.h), which the time rests on
  Bytes bytes;

  [[nodiscard]] Seconds alone() const { return fixed + (compute > memory ? compute : memory); }
};

// Where the numbers of one kernel family come from.
struct KernelProvenance {
  std::string family;   // "moe/fp8_block"
  std::string profile;  // "h100_sxm/trtllm-1.3.0rc20", or "spec_sheet"
  Basis basis = Basis::uncalibrated;
  std::string source;  // citation of the measurements
  std::string date;
  double median_error = 0.0;  // of the fit, |predicted/measured - 1|; 0 when uncalibrated
  double p90_error = 0.0;
  // Standard error that comes of answering for another device or framework than was measured; part
  // of every estimate's sigma, and one error for all families of the profile.
  double transfer_sigma = 0.0;
};

class KernelModel {
 public:
  virtual ~KernelModel() = default;

  // Pure and thread-safe. A shape with no work takes no time.
  [[nodiscard]] virtual KernelEstimate estimate(const OpShape& op) const = 0;

  // Name of the family that answers for this op ("gemm/fp8_block"); what provenance() takes.
  [[nodiscard]] virtual std::string family_of(const OpShape& op) const = 0;

  // nullopt for what is no family of kernels that the device can run.
  [[nodiscard]] virtual std::optional<KernelProvenance> provenance(
      std::string_view family) const = 0;
};

class KernelLibrary;

// The catalogued profile of this device and framework; else this device under another framework,
// else the same architecture (basis transferred); else, per family, the spec sheet. `profile_dirs`
// are searched in order for *.json. framework: "trtllm", "sglang", "vllm", or "spec_sheet" to force
// the fallback. Throws ConfigError for an unknown framework or a file that is no profile; estimates
// throw it for a profile that turns out to be damaged when it is first needed.
std::unique_ptr<KernelModel> make_kernel_model(const DevicePeaks& device,
                                               const std::string& framework,
                                               const std::vector<std::string>& profile_dirs);
std::unique_ptr<KernelModel> make_kernel_model(const DevicePeaks& device,
                                               const std::string& framework,
                                               std::shared_ptr<const KernelLibrary> library);

}  // namespace moesim
