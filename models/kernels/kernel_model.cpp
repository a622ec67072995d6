#include "models/kernels/kernel_model.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <deque>
#include <mutex>

#include "models/kernels/kernel_library.h"
#include "models/kernels/kernel_profile.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

// Copies have bytes but no format: shape_of gives them this one.
constexpr KernelKey k_memory_key{KernelKind::memory, DType::bf16, DType::bf16};

constexpr std::size_t k_keys = k_kernel_kinds * k_dtypes * k_dtypes;

std::size_t index_of(const KernelKey& key) {
  return (static_cast<std::size_t>(key.kind) * k_dtypes + static_cast<std::size_t>(key.dtype)) *
             k_dtypes +
         static_cast<std::size_t>(key.storage);
}

KernelKey key_at(std::size_t index) {
  return {static_cast<KernelKind>(index / (k_dtypes * k_dtypes)),
          static_cast<DType>(index / k_dtypes % k_dtypes), static_cast<DType>(index % k_dtypes)};
}

// A key is bound when it is first asked for; from then on an estimate is one look-up and one
// formula.
class ProfiledKernelModel final : public KernelModel {
 public:
  ProfiledKernelModel(DevicePeaks device, const std::string& framework,
                      std::shared_ptr<const KernelLibrary> library)
      : device_(std::move(device)), framework_(framework), library_(std::move(library)) {
    const auto names = library_->frameworks();
    if (std::ranges::find(names, framework) == names.end()) {
      throw ConfigError(framework,
                        "no kernel profile of this framework; there are: " + joined(names));
    }
  }

  [[nodiscard]] KernelEstimate estimate(const OpShape& op) const override {
    if (const auto* unmeasured = std::get_if<RooflineOp>(&op)) {
      return roofline(*unmeasured);
    }
    const KernelShape shape = shape_of(op);
    if (!has_work(shape)) {
      return {};
    }
    const BoundFamily* bound = bound_[index_of(shape.key)].load(std::memory_order_acquire);
    return (bound != nullptr ? *bound : bind(shape.key)).estimate(shape);
  }

  [[nodiscard]] std::string family_of(const OpShape& op) const override {
    if (const auto* unmeasured = std::get_if<RooflineOp>(&op)) {
      return std::string(name_of(unmeasured->kernel));
    }
    return family_name(shape_of(op).key);
  }

  [[nodiscard]] std::optional<KernelProvenance> provenance(std::string_view name) const override {
    for (std::size_t i = 0; i < k_unmeasured_kernels; ++i) {
      if (name == name_of(static_cast<UnmeasuredKernel>(i))) {
        return KernelProvenance{.family = std::string(name),
                                .profile = std::string(k_spec_sheet),
                                .basis = Basis::uncalibrated,
                                .source = "no measurements; rates of the data sheet",
                                .date = ""};
      }
    }
    for (std::size_t i = 0; i < k_keys; ++i) {
      const KernelKey key = key_at(i);
      if (name.starts_with(name_of(key.kind)) && can_run(key) && family_name(key) == name) {
        const BoundFamily& bound = bind(key);
        KernelProvenance row{std::string(name), bound.profile->name(), bound.basis,
                             bound.family->source, bound.profile->date};
        if (bound.basis != Basis::uncalibrated) {
          row.median_error = bound.family->left_out.median;
          row.p90_error = bound.family->left_out.p90;
        }
        return row;
      }
    }
    return std::nullopt;
  }

 private:
  // The spec sheet's streaming kernel for the bytes, its product for the arithmetic: whichever is
  // longer, behind one launch.
  [[nodiscard]] KernelEstimate roofline(const RooflineOp& op) const {
    if (op.flops.si() <= 0 && op.bytes.si() <= 0) {
      return {};
    }
    const BindOptions options{.framework = k_spec_sheet};
    const double side = std::cbrt(op.flops.si() / 2);
    KernelShape product;
    product.key = {KernelKind::gemm, op.dtype, op.dtype};
    product.dims = {side, side, side, 1.0};
    const double compute =
        library_->bind(device_, product.key, options).estimate(product).compute.si();
    const KernelShape bytes = shape_of(op);
    const KernelEstimate stream = library_->bind(device_, bytes.key, options).estimate(bytes);
    KernelEstimate result = stream;
    result.fixed = Seconds(stream.alone().si() - stream.memory.si());
    result.compute = Seconds(compute);
    result.extrapolated = false;
    result.flops = op.flops;
    result.bytes = op.bytes;
    return result;
  }

  [[nodiscard]] bool can_run(const KernelKey& key) const {
    return key.kind == KernelKind::memory ? key == k_memory_key : supports(device_, key.dtype);
  }

  const BoundFamily& bind(const KernelKey& key) const {
    const std::scoped_lock lock(mutex_);
    std::atomic<const BoundFamily*>& bound = bound_[index_of(key)];
    if (bound == nullptr) {
      if (!can_run(key)) {
        kernel_context(device_, key);  // throws, naming the device's formats
      }
      owned_.push_back(library_->bind(device_, key, {.framework = framework_}));
      bound.store(&owned_.back(), std::memory_order_release);
    }
    return *bound;
  }

  DevicePeaks device_;
  std::string framework_;
  std::shared_ptr<const KernelLibrary> library_;
  mutable std::mutex mutex_;
  mutable std::deque<BoundFamily> owned_;  // addresses stay
  mutable std::array<std::atomic<const BoundFamily*>, k_keys> bound_{};
};

}  // namespace

std::string_view name_of(Basis basis) {
  switch (basis) {
    case Basis::calibrated:
      return "calibrated";
    case Basis::transferred:
      return "transferred";
    case Basis::uncalibrated:
      return "uncalibrated";
  }
  throw InvariantError("every basis has a name");
}

std::unique_ptr<KernelModel> make_kernel_model(const DevicePeaks& device,
                                               const std::string& framework,
                                               const std::vector<std::string>& profile_dirs) {
  return make_kernel_model(device, framework, std::make_shared<KernelLibrary>(profile_dirs));
}

std::unique_ptr<KernelModel> make_kernel_model(const DevicePeaks& device,
                                               const std::string& framework,
                                               std::shared_ptr<const KernelLibrary> library) {
  return std::make_unique<ProfiledKernelModel>(device, framework, std::move(library));
}

}  // namespace moesim
