#include "sim/engine/chain_builder.h"

#include <algorithm>
#include <array>

#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr std::int32_t per_device = 2;  // arithmetic, memory

std::size_t at(int index) { return static_cast<std::size_t>(index); }

}  // namespace

ChainBuilder::ChainBuilder(const Topology& topology, const KernelModel& kernels, int ranks)
    : kernels_(kernels), ranks_(ranks), last_(at(ranks), -1) {
  step_.devices = ranks;
  step_.links = static_cast<int>(topology.links().size());
  step_.first_link = per_device * ranks;
  step_.link_bytes.assign(topology.links().size(), 0.0);
  step_.link_busy_bytes.assign(topology.links().size(), 0.0);
  for (int d = 0; d < ranks; ++d) {
    step_.graph.resources.push_back(
        {"device" + std::to_string(d) + "/compute", ResourceKind::compute, 1.0});
    step_.graph.resources.push_back(
        {"device" + std::to_string(d) + "/memory", ResourceKind::memory, 1.0});
  }
  for (const Link& link : topology.links()) {
    step_.graph.resources.push_back({link.name, ResourceKind::link, link.bandwidth.si()});
  }
  for (std::size_t c = 0; c < k_categories; ++c) {
    step_.graph.label(std::string(name_of(static_cast<Category>(c))));
  }
}

std::int16_t ChainBuilder::family(const std::string& name) {
  const auto found = std::ranges::find(step_.families, name, &FamilyUse::name);
  if (found == step_.families.end()) {
    step_.families.push_back({.name = name});
    return static_cast<std::int16_t>(step_.families.size() - 1);
  }
  return static_cast<std::int16_t>(found - step_.families.begin());
}

std::int16_t ChainBuilder::family_of(const Op& op) {
  if (!std::holds_alternative<MoeOp>(op.shape)) {
    return family(kernels_.family_of(op.shape));
  }
  const auto known = expert_family_.find(op.label);
  if (known != expert_family_.end()) {
    return known->second;
  }
  return expert_family_[op.label] = family(kernels_.family_of(op.shape));
}

ChainBuilder::Estimated ChainBuilder::estimate(const Op& op, Category category) {
  Estimated result;
  result.time = kernels_.estimate(op.shape);
  result.kernel = {.label = op.label,
                   .category = category,
                   .extrapolated = result.time.extrapolated,
                   .family = family_of(op),
                   .alone_s = result.time.alone().si(),
                   .sigma = result.time.sigma};
  result.flops = result.time.flops.si();
  result.bytes = result.time.bytes.si();
  return result;
}

void ChainBuilder::add_part(Part part, const std::vector<Op>& ops) {
  std::vector<Estimated>& kernels = parts_[part.key];
  for (const Op& op : ops) {
    kernels.push_back(estimate(op, part.category));
  }
}

ProgramId ChainBuilder::begin_program() {
  step_.first_kernel.push_back(static_cast<std::uint32_t>(step_.kernels.size()));
  return step_.graph.begin_program();
}

void ChainBuilder::add_kernel(const Estimated& kernel, std::int64_t times) {
  needs_.clear();
  if (kernel.time.compute.si() > 0) {
    needs_.push_back({0, kernel.time.compute.si()});
  }
  if (kernel.time.memory.si() > 0) {
    needs_.push_back({1, kernel.time.memory.si()});
  }
  step_.graph.add_segment(kernel.time.fixed.si(), needs_);
  step_.kernels.push_back(kernel.kernel);
  count_use(kernel, times);
}

void ChainBuilder::count_use(const Estimated& kernel, std::int64_t times) {
  const auto count = static_cast<double>(times);
  FamilyUse& use = step_.families[static_cast<std::size_t>(kernel.kernel.family)];
  use.kernels += times;
  use.extrapolated += kernel.kernel.extrapolated ? times : 0;
  use.device_s += kernel.kernel.alone_s * count;
  step_.flops += kernel.flops * count;
  step_.memory_bytes += kernel.bytes * count;
}

// The program of what is queued, run by so many ranks.
ProgramId ChainBuilder::queued_program(int ranks) {
  const auto known = programs_.find(queued_);
  ProgramId program = 0;
  if (known == programs_.end()) {
    program = begin_program();
    for (const std::int64_t part : queued_) {
      for (const Estimated& kernel : parts_.at(part)) {
        add_kernel(kernel, ranks);
      }
    }
    programs_.emplace(queued_, program);
  } else {
    program = known->second;
    for (const std::int64_t part : queued_) {
      for (const Estimated& kernel : parts_.at(part)) {
        count_use(kernel, ranks);
      }
    }
  }
  return program;
}

void ChainBuilder::add_chain(int rank, int layer, ProgramId program, std::int32_t label) {
  const Task task{.program = program,
                  .resource_offset = per_device * rank,
                  .stream = rank,
                  .label = label,
                  .layer = layer};
  const std::span<const TaskId> before(&last_[at(rank)], last_[at(rank)] < 0 ? 0 : 1);
  last_[at(rank)] = step_.graph.add_task(task, before);
  step_.participants.push_back(1);
}

void ChainBuilder::flush(int layer) {
  if (queued_.empty()) {
    return;
  }
  const ProgramId program = queued_program(ranks_);
  const auto label = static_cast<std::int32_t>(parts_.at(queued_.front()).front().kernel.category);
  for (int r = 0; r < ranks_; ++r) {
    add_chain(r, layer, program, label);
  }
  queued_.clear();
}

void ChainBuilder::flush_rank(int rank, int layer) {
  if (queued_.empty()) {
    return;
  }
  const ProgramId program = queued_program(1);
  add_chain(rank, layer, program,
            static_cast<std::int32_t>(parts_.at(queued_.front()).front().kernel.category));
  queued_.clear();
}

void ChainBuilder::chain(int rank, int layer, Category category, std::span<const Op> ops) {
  ensure(queued_.empty(), "queued kernels are flushed before a rank goes its own way");
  const ProgramId program = begin_program();
  for (const Op& op : ops) {
    add_kernel(estimate(op, category), 1);
  }
  add_chain(rank, layer, program, static_cast<std::int32_t>(category));
}

void ChainBuilder::collective(std::span<const int> ranks, int layer, Category category,
                              std::string_view label, int stream, std::int16_t family_index,
                              const CollectiveCost& cost) {
  const ProgramId program = begin_program();
  needs_.clear();
  double slowest = 0.0;
  for (const LinkLoad& load : cost.loads) {
    const std::int32_t resource = step_.first_link + load.link;
    needs_.push_back({resource, load.bytes});
    step_.link_bytes[at(load.link)] += load.payload;
    step_.link_busy_bytes[at(load.link)] += load.bytes;
    slowest = std::max(slowest, load.bytes / step_.graph.resources[at(resource)].rate);
  }
  const double alone = cost.latency.si() + slowest;
  step_.graph.add_segment(cost.latency.si(), needs_);
  step_.kernels.push_back({label, category, cost.extrapolated, family_index, alone, cost.sigma});
  step_.token_transfers += cost.token_copies;
  FamilyUse& use = step_.families[static_cast<std::size_t>(family_index)];
  use.kernels += 1;
  use.extrapolated += cost.extrapolated ? 1 : 0;
  use.device_s += alone * static_cast<double>(ranks.size());
  before_.clear();
  for (const int rank : ranks) {
    if (last_[at(rank)] >= 0) {
      before_.push_back(last_[at(rank)]);
    }
  }
  // Ranks that already waited for one collective together would name it several times.
  std::ranges::sort(before_);
  before_.erase(std::ranges::unique(before_).begin(), before_.end());
  const Task task{.program = program,
                  .resource_offset = 0,
                  .stream = step_.devices + stream,
                  .label = static_cast<std::int32_t>(category),
                  .layer = layer};
  const TaskId id = step_.graph.add_task(task, before_);
  step_.participants.push_back(static_cast<std::int32_t>(ranks.size()));
  for (const int rank : ranks) {
    last_[at(rank)] = id;
  }
}

}  // namespace moesim
