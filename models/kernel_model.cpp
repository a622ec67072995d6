#include "models/kernel_model.h"

#include <algorithm>
#include <map>
#include <optional>

#include "models/kernel_library.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr std::size_t k_dtypes = 9;

// Copies have bytes but no format: shape_of gives them this one.
constexpr KernelKey k_memory_key{KernelKind::memory, DType::bf16, DType::bf16};

std::size_t index_of(const KernelKey& key) {
  return (static_cast<std::size_t>(key.kind) * k_dtypes + static_cast<std::size_t>(key.dtype)) *
             k_dtypes +
         static_cast<std::size_t>(key.storage);
}

// Every key is bound when the model is made, so that an estimate is one look-up and one formula.
class ProfiledKernelModel final : public KernelModel {
 public:
  ProfiledKernelModel(const DevicePeaks& device, const std::string& framework,
                      const std::vector<std::string>& profile_dirs)
      : device_(device), library_(profile_dirs) {
    const auto names = library_.frameworks();
    if (std::ranges::find(names, framework) == names.end()) {
      throw ConfigError(framework,
                        "no kernel profile of this framework; there are: " + joined(names));
    }
    bound_.resize(k_kernel_kinds * k_dtypes * k_dtypes);
    for (std::size_t i = 0; i < bound_.size(); ++i) {
      const KernelKey key{static_cast<KernelKind>(i / (k_dtypes * k_dtypes)),
                          static_cast<DType>(i / k_dtypes % k_dtypes),
                          static_cast<DType>(i % k_dtypes)};
      if (key.kind == KernelKind::memory ? key == k_memory_key : supports(device, key.dtype)) {
        bound_[i] = library_.bind(device, key, {.framework = framework});
      }
    }
  }

  [[nodiscard]] KernelEstimate estimate(const OpShape& op) const override {
    const KernelShape shape = shape_of(op);
    if (!has_work(shape)) {
      return {};
    }
    const auto& bound = bound_[index_of(shape.key)];
    if (!bound) {
      kernel_context(device_, shape.key);  // throws, naming the device's formats
    }
    return bound->estimate(shape);
  }

  [[nodiscard]] std::string family_of(const OpShape& op) const override {
    return family_name(shape_of(op).key);
  }

  [[nodiscard]] std::vector<KernelProvenance> provenance() const override {
    std::map<std::string, KernelProvenance> rows;
    for (std::size_t i = 0; i < bound_.size(); ++i) {
      if (bound_[i]) {
        const KernelKey key{static_cast<KernelKind>(i / (k_dtypes * k_dtypes)),
                            static_cast<DType>(i / k_dtypes % k_dtypes),
                            static_cast<DType>(i % k_dtypes)};
        const std::string name = family_name(key);
        rows.try_emplace(name, row(name, *bound_[i]));
      }
    }
    std::vector<KernelProvenance> list;
    for (auto& [name, provenance] : rows) {
      list.push_back(std::move(provenance));
    }
    return list;
  }

 private:
  static KernelProvenance row(const std::string& name, const BoundFamily& bound) {
    KernelProvenance provenance{name, bound.profile->name(), bound.basis, bound.family->source,
                                bound.profile->date};
    if (bound.basis != Basis::uncalibrated) {
      provenance.median_error = bound.family->left_out.median;
      provenance.p90_error = bound.family->left_out.p90;
    }
    return provenance;
  }

  DevicePeaks device_;
  KernelLibrary library_;
  std::vector<std::optional<BoundFamily>> bound_;
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
  return std::make_unique<ProfiledKernelModel>(device, framework, profile_dirs);
}

}  // namespace moesim
