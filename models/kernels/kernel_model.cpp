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

constexpr std::size_t k_layouts = 3;
constexpr std::size_t k_keys = k_kernel_kinds * k_layouts * k_dtypes * k_dtypes;

std::size_t index_of(const KernelKey& key) {
  const std::size_t how = static_cast<std::size_t>(key.kind) * k_layouts +
                          static_cast<std::size_t>(key.algorithm.layout);
  return (how * k_dtypes + static_cast<std::size_t>(key.dtype)) * k_dtypes +
         static_cast<std::size_t>(key.storage);
}

KernelKey key_at(std::size_t index) {
  const std::size_t how = index / (k_dtypes * k_dtypes);
  return {static_cast<KernelKind>(how / k_layouts),
          static_cast<DType>(index / k_dtypes % k_dtypes),
          static_cast<DType>(index % k_dtypes),
          {.layout = static_cast<ExpertLayout>(how % k_layouts)}};
}

constexpr std::array<std::string_view, 7> operation_names{
    "default", "moe", "gemm", "batched_gemm", "attention", "mla", "memory"};

// Whose wish holds for a kind.
std::string_view operation_of(KernelKind kind) {
  const std::string_view name = name_of(kind);
  const auto found = std::ranges::find_if(operation_names, [name](std::string_view operation) {
    return name == operation || (name.starts_with(operation) && name[operation.size()] == '_');
  });
  return found == operation_names.end() ? operation_names.front() : *found;
}

// A key is bound when it is first asked for; from then on an estimate is one look-up and one
// formula.
class ProfiledKernelModel final : public KernelModel {
 public:
  ProfiledKernelModel(DevicePeaks device, const KernelWishes& wishes,
                      std::shared_ptr<const KernelLibrary> library)
      : device_(std::move(device)), library_(std::move(library)), captured_(wishes.captured) {
    for (std::size_t kind = 0; kind < k_kernel_kinds; ++kind) {
      const auto& by_operation = wishes.by_operation;
      const auto own = by_operation.find(std::string(operation_of(static_cast<KernelKind>(kind))));
      wishes_.at(kind) = own == by_operation.end() ? by_operation.at("default") : own->second;
    }
    for (const auto& [operation, wish] : wishes.by_operation) {
      if (!library_->knows(wish)) {
        throw ConfigError(wish, "no kernel profile of this framework; there are: " +
                                    joined(library_->frameworks()));
      }
    }
  }

  [[nodiscard]] KernelEstimate estimate(const OpShape& op) const override {
    if (const RooflineOp* const unmeasured = unmeasured_op(op)) {
      return roofline(*unmeasured);
    }
    const KernelShape shape = shape_here(op);
    if (!has_work(shape)) {
      return {};
    }
    const BoundFamily* bound = bound_[index_of(shape.key)].load(std::memory_order_acquire);
    return (bound != nullptr ? *bound : bind(shape.key)).estimate(shape);
  }

  [[nodiscard]] bool products_alone(const OpShape& op) const override {
    const KernelKey key = shape_here(op).key;
    const BoundFamily* bound = bound_[index_of(key)].load(std::memory_order_acquire);
    return (bound != nullptr ? *bound : bind(key)).family->products_alone;
  }

  [[nodiscard]] std::string family_of(const OpShape& op) const override {
    if (const RooflineOp* const unmeasured = unmeasured_op(op)) {
      return std::string(name_of(unmeasured->kernel));
    }
    return family_name(shape_here(op).key);
  }

  [[nodiscard]] std::optional<KernelProvenance> provenance(std::string_view name) const override {
    for (std::size_t i = 0; i < k_counted_kernels; ++i) {
      if (name == name_of(static_cast<CountedKernel>(i))) {
        return KernelProvenance{.family = std::string(name),
                                .profile = std::string(k_spec_sheet),
                                .basis = Basis::uncalibrated,
                                .source = "no measurements; rates of the data sheet",
                                .date = {},
                                .kernel_source = {},
                                .law = std::string(name),
                                .layout = {},
                                .law_layout = {},
                                .better_known = {}};
      }
    }
    for (std::size_t i = 0; i < k_keys; ++i) {
      const KernelKey key = key_at(i);
      if (name.starts_with(name_of(key.kind)) && is_key(key) && family_name(key) == name) {
        return provenance_of(key);
      }
    }
    return std::nullopt;
  }

  [[nodiscard]] std::vector<LawOption> explain(const OpShape& op) const override {
    if (const RooflineOp* const unmeasured = unmeasured_op(op)) {
      const KernelEstimate time = roofline(*unmeasured);
      return {{.profile = std::string(k_spec_sheet),
               .kernel_source = {},
               .law = std::string(name_of(unmeasured->kernel)),
               .basis = Basis::uncalibrated,
               .seconds = time.alone().si(),
               .sigma = time.sigma,
               .extrapolated = false,
               .expected_error = 0.0,
               .reason = "nobody measured such kernels"}};
    }
    const KernelShape shape = shape_here(op);
    std::vector<LawOption> options;
    const auto all = library_->bind_all(device_, shape.key, options_of(shape.key));
    for (const BoundFamily& bound : all) {
      const KernelEstimate time = bound.estimate(shape);
      LawOption& option = options.emplace_back();
      option.profile = bound.profile->name();
      option.kernel_source = bound.family->kernel_source;
      option.law = bound.family->name();
      option.basis = bound.basis;
      option.seconds = time.alone().si();
      option.sigma = time.sigma;
      option.extrapolated = time.extrapolated;
      if (bound.basis == Basis::uncalibrated) {
        option.reason = "answers where nothing was measured";
      } else {
        option.expected_error = bound.rank[LawCriterion::error];
        const BoundFamily& other = options.size() > 1 || all.size() == 1 ? all[0] : all[1];
        option.reason = options.size() > 1 ? reason(other, bound) : reason(bound, other);
      }
    }
    return options;
  }

 private:
  // nullptr for what some profile may have a law of.
  static const RooflineOp* unmeasured_op(const OpShape& op) {
    const auto* counted = std::get_if<RooflineOp>(&op);
    return counted != nullptr && !kind_of(*counted) ? counted : nullptr;
  }

  // Scores of sparse attention are computed in fp8 where the device can, else in bf16.
  [[nodiscard]] KernelShape shape_here(const OpShape& op) const {
    KernelShape shape = shape_of(op);
    if (is_counted(shape.key.kind) && !supports(device_, shape.key.dtype)) {
      shape.key.dtype = DType::bf16;
    }
    return shape;
  }

  // The spec sheet's streaming kernel for the bytes, its product for the arithmetic: whichever is
  // longer, behind one launch.
  [[nodiscard]] KernelEstimate roofline(const RooflineOp& op) const {
    if (op.flops.si() <= 0 && op.bytes.si() <= 0) {
      return {};
    }
    const BindOptions options{.wish = k_spec_sheet};
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

  // What tells a law from a worse one.
  static std::string reason(const BoundFamily& better, const BoundFamily& worse) {
    if (worse.basis == Basis::uncalibrated || &better == &worse) {
      return "the only one that was measured";
    }
    return std::string(advantage_of(deciding_criterion(better.rank, worse.rank)));
  }

  [[nodiscard]] BindOptions options_of(const KernelKey& key) const {
    return {.wish = wishes_.at(static_cast<std::size_t>(key.kind)), .captured = captured_};
  }

  [[nodiscard]] KernelProvenance provenance_of(const KernelKey& key) const {
    const BoundFamily& bound = bind(key);
    KernelProvenance row{.family = family_name(key),
                         .profile = bound.profile->name(),
                         .basis = bound.basis,
                         .source = bound.family->source,
                         .date = bound.profile->date,
                         .kernel_source = bound.family->kernel_source,
                         .law = bound.family->name(),
                         .layout = {},
                         .law_layout = {},
                         .better_known = {}};
    if (has_layout(key.kind)) {
      row.layout = name_of(key.algorithm.layout);
    }
    if (bound.basis != Basis::uncalibrated) {
      row.median_error = bound.family->left_out.median;
      row.p90_error = bound.family->left_out.p90;
      row.law_layout =
          has_layout(bound.family->kind) ? name_of(bound.family->algorithm.layout) : "";
      row.transfer_sigma = bound.transfer_sigma;
      row.host_floor_s = captured_ ? bound.family->host_floor : 0.0;
    }
    row.better_known = better_known(key);
    const LawWish wish = parse_law_wish(options_of(key).wish);
    row.wish_granted = wish.version.empty() || (bound.profile->framework == wish.framework &&
                                                bound.profile->version == wish.version);
    return row;
  }

  // See KernelProvenance. Worked out once: a sweep asks for every report.
  [[nodiscard]] std::string better_known(const KernelKey& key) const {
    const bool product = key.kind == KernelKind::gemm || has_layout(key.kind);
    if (!product || stored_bits(key.storage) >= 16) {
      return {};
    }
    const std::scoped_lock lock(mutex_);
    const auto [entry, is_new] = better_known_.try_emplace(index_of(key));
    if (is_new) {
      LawEvidence best = library_->evidence(device_, key, options_of(key));
      for (const DType format : {DType::bf16, DType::fp8, DType::fp8_block, DType::int8}) {
        const KernelKey other{key.kind, format, format, key.algorithm};
        if (!supports(device_, format)) {
          continue;
        }
        const LawEvidence known = library_->evidence(device_, other, options_of(key));
        if (known < best) {
          best = known;
          entry->second = family_name(other) + " (" + std::string(name_of(known.basis)) + ")";
        }
      }
    }
    return entry->second;
  }

  // Copies have no format; whether a device has them is no question of its peaks. Layouts are of
  // experts alone.
  [[nodiscard]] bool is_key(const KernelKey& key) const {
    if (key.algorithm.layout != ExpertLayout::fused && !has_layout(key.kind)) {
      return false;
    }
    return key.kind == KernelKind::memory ? key == k_memory_key : supports(device_, key.dtype);
  }

  const BoundFamily& bind(const KernelKey& key) const {
    const std::scoped_lock lock(mutex_);
    std::atomic<const BoundFamily*>& bound = bound_[index_of(key)];
    if (bound == nullptr) {
      if (!is_key(key)) {
        kernel_context(device_, key);  // throws, naming the device's formats
      }
      owned_.push_back(library_->bind(device_, key, options_of(key)));
      bound.store(&owned_.back(), std::memory_order_release);
    }
    return *bound;
  }

  DevicePeaks device_;
  std::array<std::string, k_kernel_kinds> wishes_;  // by kind
  std::shared_ptr<const KernelLibrary> library_;
  bool captured_;
  mutable std::mutex mutex_;
  mutable std::deque<BoundFamily> owned_;  // addresses stay
  mutable std::array<std::atomic<const BoundFamily*>, k_keys> bound_{};
  mutable std::map<std::size_t, std::string> better_known_;  // by index of the key
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

std::span<const std::string_view> kernel_operations() { return operation_names; }

std::unique_ptr<KernelModel> make_kernel_model(const DevicePeaks& device,
                                               const KernelWishes& wishes,
                                               std::shared_ptr<const KernelLibrary> library) {
  return std::make_unique<ProfiledKernelModel>(device, wishes, std::move(library));
}

std::unique_ptr<KernelModel> make_kernel_model(const DevicePeaks& device, const std::string& wish,
                                               std::shared_ptr<const KernelLibrary> library) {
  return make_kernel_model(device, KernelWishes{.by_operation = {{"default", wish}}},
                           std::move(library));
}

std::unique_ptr<KernelModel> make_kernel_model(const DevicePeaks& device, const std::string& wish,
                                               const std::vector<std::string>& profile_dirs) {
  return make_kernel_model(device, wish, std::make_shared<KernelLibrary>(profile_dirs));
}

}  // namespace moesim
