// Kernel times: time = model(op, device, profile). A profile is a file of fitted coefficients with
// source, date, fit range and error; where none exists the spec sheet answers, and says so.
#pragma once

#include <compare>
#include <map>
#include <memory>
#include <optional>
#include <span>
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
  double host_floor_s = 0.0;  // > 0: the measurements time the host's launches, and a captured step
                              // has nothing better to go by
  std::string kernel_source;  // the benchmark's name of the kernel; may be empty
  std::string law;            // the profile's family that answers
  std::string_view layout;    // of experts' rows, as asked for; empty for other operations
  std::string_view law_layout;  // as the law's rows lay; empty for the spec sheet
  bool wish_granted = true;     // false: a version is named that has no law of it
  // Of products in narrow formats: another format of the same operation with better evidence on
  // this device ("moe/bf16 (calibrated)"), so that comparing the two compares fits; else empty.
  std::string better_known;
};

// A law that may answer for an operation.
struct LawOption {
  std::string profile;
  std::string kernel_source;
  std::string law;  // the profile's family
  Basis basis = Basis::uncalibrated;
  double seconds = 0.0;  // for the operation
  double sigma = 0.0;
  bool extrapolated = false;
  double expected_error = 0.0;  // relative; 0 for the spec sheet
  std::string reason;           // what this law lacks of the one that answers; of that one, what
                                // it has before the next
};

// Whose kernels are wanted, by operation ("default": of the others): "auto", a framework
// ("trtllm"), one version of it ("sglang-0.5.10"), or "spec_sheet" (KERNELS.md, "Which law
// answers").
struct KernelWishes {
  std::map<std::string, std::string> by_operation{{"default", "auto"}};
  // Launches are replayed from a CUDA graph: measurements that timed the host do not answer where
  // others can (see BindOptions).
  bool captured = false;

  friend auto operator<=>(const KernelWishes&, const KernelWishes&) = default;
};
// "default", "moe", "gemm", ...: the first parts of family names that can be told apart.
std::span<const std::string_view> kernel_operations();

class KernelModel {
 public:
  virtual ~KernelModel() = default;

  // Pure and thread-safe. A shape with no work takes no time.
  [[nodiscard]] virtual KernelEstimate estimate(const OpShape& op) const = 0;

  // The law that answers for these experts times their two products alone: expert_passes are to be
  // added.
  [[nodiscard]] virtual bool products_alone(const OpShape& op) const = 0;

  // Name of the family that answers for this op ("gemm/fp8_block"); what provenance() takes.
  [[nodiscard]] virtual std::string family_of(const OpShape& op) const = 0;

  // nullopt for what is no family of kernels that the device can run.
  [[nodiscard]] virtual std::optional<KernelProvenance> provenance(
      std::string_view family) const = 0;

  // Every law that may answer for this op: the one that does, then the runners-up by rank.
  [[nodiscard]] virtual std::vector<LawOption> explain(const OpShape& op) const = 0;
};

class KernelLibrary;

// Laws from `profile_dirs`, searched in order for *.json, by the rule of KERNELS.md ("Which law
// answers"). Throws ConfigError for a wish that no profile can grant or a file that is no profile;
// estimates throw it for a profile that turns out to be damaged when it is first needed.
std::unique_ptr<KernelModel> make_kernel_model(const DevicePeaks& device,
                                               const KernelWishes& wishes,
                                               std::shared_ptr<const KernelLibrary> library);
// One wish for all operations.
std::unique_ptr<KernelModel> make_kernel_model(const DevicePeaks& device, const std::string& wish,
                                               std::shared_ptr<const KernelLibrary> library);
std::unique_ptr<KernelModel> make_kernel_model(const DevicePeaks& device, const std::string& wish,
                                               const std::vector<std::string>& profile_dirs);

}  // namespace moesim
