#include "sim/engine/lowering/kernel_programs.h"

#include <algorithm>

#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr std::int32_t per_device = 2;  // arithmetic, memory

std::size_t at(int index) { return static_cast<std::size_t>(index); }

}  // namespace

KernelPrograms::KernelPrograms(const Topology& topology, const KernelModel& kernels,
                               const RankMap& ranks)
    : kernels_(kernels), devices_(ranks.devices()) {
  resources_.reserve(at(per_device * devices_) + topology.links().size());
  for (int d = 0; d < devices_; ++d) {
    const std::string device = "device" + std::to_string(d);
    resources_.push_back({device + "/compute", ResourceKind::compute, 1.0});
    resources_.push_back({device + "/memory", ResourceKind::memory, 1.0});
  }
  link_rates_.reserve(topology.links().size());
  for (const Link& link : topology.links()) {
    resources_.push_back({link.name, ResourceKind::link, link.bandwidth.si()});
    link_rates_.push_back(link.bandwidth.si());
  }
}

void KernelPrograms::begin_step(LoweredStep& step) {
  step_ = &step;
  expert_family_.clear();
  work_.clear();
  runs_.clear();
  step.devices = devices_;
  step.links = static_cast<int>(link_rates_.size());
  step.first_link = per_device * devices_;
  step.link_bytes.assign(link_rates_.size(), 0.0);
  step.link_busy_bytes.assign(link_rates_.size(), 0.0);
  step.graph.resources = resources_;
  for (std::size_t c = 0; c < k_categories; ++c) {
    step.graph.label(std::string(name_of(static_cast<Category>(c))));
  }
}

std::int16_t KernelPrograms::family(const std::string& name) {
  const auto found = std::ranges::find(step_->families, name, &FamilyUse::name);
  if (found == step_->families.end()) {
    step_->families.push_back({.name = name});
    return static_cast<std::int16_t>(step_->families.size() - 1);
  }
  return static_cast<std::int16_t>(found - step_->families.begin());
}

std::int16_t KernelPrograms::family_of(const Op& op) {
  if (!std::holds_alternative<MoeOp>(op.shape)) {
    return family(kernels_.family_of(op.shape));
  }
  const auto known = expert_family_.find(op.label);
  if (known != expert_family_.end()) {
    return known->second;
  }
  return expert_family_[op.label] = family(kernels_.family_of(op.shape));
}

KernelPrograms::Estimated KernelPrograms::estimate(const Op& op, Category category) {
  Estimated result;
  result.time = kernels_.estimate(op.shape);
  result.kernel = {.label = op.label,
                   .category = category,
                   .extrapolated = result.time.extrapolated,
                   .family = family_of(op),
                   .alone_s = result.time.alone().si(),
                   .sigma = result.time.sigma};
  FamilyUse& use = step_->families[static_cast<std::size_t>(result.kernel.family)];
  if (result.kernel.alone_s > use.longest_s) {
    use.longest_s = result.kernel.alone_s;
    use.longest = op.shape;
  }
  result.flops = result.time.flops.si();
  result.bytes = result.time.bytes.si();
  return result;
}

std::vector<KernelPrograms::Estimated> KernelPrograms::estimate_all(std::span<const Op> ops,
                                                                    Category category) {
  std::vector<Estimated> all;
  all.reserve(ops.size());
  for (const Op& op : ops) {
    all.push_back(estimate(op, category));
  }
  return all;
}

void KernelPrograms::price_padding(std::vector<Estimated>& padded,
                                   std::span<const Op> unpadded) const {
  ensure(padded.size() == unpadded.size(), "a padded batch runs the same kernels");
  for (std::size_t i = 0; i < padded.size(); ++i) {
    const KernelEstimate plain = kernels_.estimate(unpadded[i].shape);
    padded[i].flops = plain.flops.si();
    padded[i].bytes = plain.bytes.si();
    padded[i].kernel.padding_s = padded[i].kernel.alone_s - plain.alone().si();
  }
}

ProgramId KernelPrograms::begin() {
  step_->first_kernel.push_back(static_cast<std::uint32_t>(step_->kernels.size()));
  runs_.push_back(0);
  return step_->graph.begin_program();
}

void KernelPrograms::add(const Estimated& kernel) {
  needs_.clear();
  if (kernel.time.compute.si() > 0) {
    needs_.push_back({0, kernel.time.compute.si()});
  }
  if (kernel.time.memory.si() > 0) {
    needs_.push_back({1, kernel.time.memory.si()});
  }
  step_->graph.add_segment(kernel.time.fixed.si(), needs_);
  step_->kernels.push_back(kernel.kernel);
  work_.push_back({kernel.flops, kernel.bytes});
}

void KernelPrograms::finish() {
  for (std::size_t program = 0; program < runs_.size(); ++program) {
    const std::size_t first = step_->first_kernel[program];
    const std::size_t end =
        program + 1 < runs_.size() ? step_->first_kernel[program + 1] : step_->kernels.size();
    const auto count = static_cast<double>(runs_[program]);
    for (std::size_t k = runs_[program] > 0 ? first : end; k < end; ++k) {
      const Kernel& kernel = step_->kernels[k];
      FamilyUse& use = step_->families[static_cast<std::size_t>(kernel.family)];
      use.kernels += runs_[program];
      use.extrapolated += kernel.extrapolated ? runs_[program] : 0;
      use.device_s += kernel.alone_s * count;
      step_->flops += work_[k].flops * count;
      step_->memory_bytes += work_[k].bytes * count;
      step_->padding_s += kernel.padding_s * count;
    }
  }
}

ProgramId KernelPrograms::collective(const CollectiveCost& cost, Category category,
                                     std::string_view label, std::int16_t family_index,
                                     std::size_t ranks) {
  const ProgramId program = begin();
  needs_.resize(cost.loads.size());
  double slowest = 0.0;
  for (std::size_t i = 0; i < cost.loads.size(); ++i) {
    const LinkLoad& load = cost.loads[i];
    needs_[i] = {step_->first_link + load.link, load.bytes};
    step_->link_bytes[at(load.link)] += load.payload;
    step_->link_busy_bytes[at(load.link)] += load.bytes;
    slowest = std::max(slowest, load.bytes / link_rates_[at(load.link)]);
  }
  const double alone = cost.latency.si() + slowest;
  step_->graph.add_segment(cost.latency.si(), needs_);
  step_->kernels.push_back({label, category, cost.extrapolated, family_index, alone, cost.sigma});
  work_.push_back({});
  step_->token_transfers += cost.token_copies;
  FamilyUse& use = step_->families[static_cast<std::size_t>(family_index)];
  use.kernels += 1;
  use.extrapolated += cost.extrapolated ? 1 : 0;
  use.device_s += alone * static_cast<double>(ranks);
  return program;
}

void KernelPrograms::hold(std::span<const int> devices, double fraction) {
  for (const int device : devices) {
    step_->graph.add_hold({per_device * device, fraction});
  }
}

}  // namespace moesim
