#include "sim/training/iteration_expansion.h"

#include <algorithm>
#include <cmath>

#include "sim/core/error.h"
#include "sim/training/group_links.h"

namespace moesim {
namespace {

// Relative standard error of a time that another kernel's law gives by FLOPs and bytes: forward
// laws of these families are off by a few percent where they were fitted, and published backward
// attention reaches 0.8 to 0.9 of the forward pass's rate (FlashAttention-2, arXiv:2307.08691,
// figures 4 and 6).
constexpr double k_derived_sigma = 0.15;

double bytes_per_value(DType dtype) { return stored_bits(dtype) / 8; }

bool is_captured(Captured captured, KernelPart part) {
  switch (part) {
    case KernelPart::router:
      return captured != Captured::nothing;
    case KernelPart::attention_norm:
    case KernelPart::attention:
    case KernelPart::ffn_norm:
      return captured == Captured::attention || captured == Captured::all;
    default:
      return captured == Captured::all;
  }
}

// That the host works through: what is captured is one launch.
double launches_of(Captured captured, KernelPart part, std::size_t kernels) {
  if (captured == Captured::all || kernels == 0) {
    return 0.0;
  }
  return is_captured(captured, part) ? 1.0 : static_cast<double>(kernels);
}

}  // namespace

IterationExpansion::IterationExpansion(const TrainingSystem& system, const ExpertTraffic& traffic,
                                       LoweredStep& step)
    : system_(system),
      traffic_(traffic),
      costs_(system, traffic),
      step_(step),
      framework_(system.scenario().policy.framework),
      programs_(system.topology(), system.kernels(), system.ranks()) {
  programs_.begin_step(step);
}

IterationExpansion::ProgramNotes& IterationExpansion::notes_of(ProgramId program) {
  const auto p = static_cast<std::size_t>(program);
  notes_.resize(std::max(notes_.size(), p + 1));
  return notes_[p];
}

KernelPrograms::Estimated IterationExpansion::estimate(const TrainKernel& kernel,
                                                       Category category) {
  KernelPrograms::Estimated e = programs_.estimate(kernel.op, category);
  const double work = kernel.work * kernel.copies;
  if (work == 1.0 && kernel.more_traffic.si() <= 0.0 && !kernel.derived) {
    return e;
  }
  e.time.compute = e.time.compute * work;
  e.time.memory =
      e.time.memory * work + Bytes(kernel.copies * std::max(0.0, kernel.more_traffic.si())) /
                                 system_.cluster().node.device.memory.read;
  e.flops *= work;
  e.bytes = e.bytes * work + kernel.copies * std::max(0.0, kernel.more_traffic.si());
  e.kernel.alone_s = e.time.alone().si();
  if (kernel.derived) {
    const std::string family = system_.kernels().family_of(kernel.op.shape);
    const std::string name = family + " backward";
    e.kernel.family = programs_.family(name);
    e.kernel.sigma = std::hypot(e.kernel.sigma, k_derived_sigma);
    derived_[name] = family;
  }
  return e;
}

Exchange IterationExpansion::program_of(std::span<const TrainKernel> kernels,
                                        std::span<const Category> categories) {
  if (kernels.empty()) {
    return {};
  }
  Exchange result{.program = programs_.begin()};
  ProgramNotes notes;
  for (std::size_t i = 0; i < kernels.size(); ++i) {
    KernelPrograms::Estimated e = estimate(kernels[i], categories[i]);
    if (framework_.slowdown != 1.0) {
      e.time.compute = e.time.compute * framework_.slowdown;
      e.time.memory = e.time.memory * framework_.slowdown;
      e.kernel.alone_s = e.time.alone().si();
    }
    programs_.add(e);
    result.seconds += e.kernel.alone_s;
    notes.hardware_flops += e.flops;
    notes.model_flops += e.flops / kernels[i].work * kernels[i].counted;
  }
  notes_of(result.program) = notes;
  return result;
}

void IterationExpansion::wait_for_host(double kernels, Category category, Exchange& chain) {
  const double missing = kernels * framework_.host_per_kernel.si() - chain.seconds;
  if (missing <= 0.0) {
    return;
  }
  KernelPrograms::Estimated wait;
  wait.time.fixed = Seconds(missing);
  wait.kernel.label = "host_launches";
  wait.kernel.category = category;
  wait.kernel.alone_s = missing;
  wait.kernel.family = programs_.family("host/launches");
  programs_.add(wait);
  chain.seconds += missing;
}

Exchange IterationExpansion::chain(std::span<const KernelRun> runs, int unit) {
  const bool by_unit =
      std::ranges::any_of(runs, [](const KernelRun& r) { return r.decision >= 0; });
  ChainKey key{{runs.begin(), runs.end()}, by_unit ? unit : 0};
  const auto known = chains_.find(key);
  if (known != chains_.end()) {
    return known->second;
  }
  std::vector<TrainKernel> kernels;
  std::vector<Category> categories;
  double launches = 0.0;
  for (const KernelRun& run : runs) {
    const std::vector<TrainKernel> more = kernels_of(system_, traffic_, run, unit);
    kernels.insert(kernels.end(), more.begin(), more.end());
    categories.resize(kernels.size(), category_of(run.part));
    launches += launches_of(framework_.captured, run.part, more.size());
  }
  Exchange result = program_of(kernels, categories);
  if (!kernels.empty()) {
    wait_for_host(launches, categories.back(), result);
  }
  return chains_[std::move(key)] = result;
}

// Adam reads gradient, weight and two moments and writes the last three, and the weight that
// passes read; SGD has one moment (momentum); Muon has one and orthogonalises it with five
// Newton-Schulz iterations (Jordan et al. 2024, kellerjordan.github.io/posts/muon), of which each
// takes 4 m + 2 m m / n FLOPs per parameter of an m x n matrix, m <= n. With offloading, gradients
// and weights cross the host's link and the host's memory holds the states.
Exchange IterationExpansion::optimizer(const RankParameters& parameters) {
  const TrainWorkload& workload = system_.workload();
  const Parallelism& p = system_.parallelism();
  const bool cut = workload.optimizer.zero >= 1;
  const double count = parameters.dense / (cut ? p.attention_cp * p.attention_dp : 1) +
                       parameters.experts / (cut ? p.expert_dp : 1);
  if (count <= 0.0) {
    return {};
  }
  const double moments = workload.optimizer.kind == OptimizerKind::adam ? 2.0 : 1.0;
  const double kept = bytes_per_value(workload.optimizer.master) +
                      moments * bytes_per_value(workload.optimizer.state);
  const double gradient = bytes_per_value(workload.gradient);
  const double weight = bytes_per_value(system_.precision().activation);
  if (workload.optimizer.offload) {
    KernelPrograms::Estimated update =
        offloaded_update(count, gradient + weight, gradient + 2 * kept + weight);
    update.kernel.family = programs_.family("host/optimizer");
    Exchange result{.program = programs_.begin(), .seconds = update.kernel.alone_s};
    programs_.add(update);
    notes_of(result.program) = {};
    return result;
  }
  std::vector<TrainKernel> kernels{{.op = {"optimizer", MemoryOp{Bytes(count * (gradient + kept)),
                                                                 Bytes(count * (kept + weight))}}}};
  if (workload.optimizer.kind == OptimizerKind::muon) {
    constexpr std::int64_t iterations = 5;
    const std::int64_t m = system_.model().hidden;
    const auto matrices = static_cast<std::int64_t>(
        std::ceil(count / (static_cast<double>(m) * static_cast<double>(m))));
    const GemmOp product{.m = m, .n = m, .k = m, .batch = 1, .dtype = DType::bf16};
    TrainKernel orthogonalise{.op = {"orthogonalise", product}};
    constexpr std::int64_t products = 3;
    orthogonalise.work = static_cast<double>(iterations * products * matrices);
    kernels.push_back(orthogonalise);
  }
  const std::vector<Category> categories(kernels.size(), Category::optimizer);
  Exchange result = program_of(kernels, categories);
  return result;
}

// Bytes per parameter that cross the host's link, and that its memory moves; the devices of a node
// share that memory.
KernelPrograms::Estimated IterationExpansion::offloaded_update(double count, double crossing,
                                                               double in_host) const {
  const NodeSpec& node = system_.cluster().node;
  Seconds taken = Bytes(count * crossing) / node.host_link.bandwidth;
  taken += Bytes(count * in_host * node.devices) / node.host->memory.read;
  KernelPrograms::Estimated update;
  update.time.fixed = taken;
  update.kernel.label = "offloaded_optimizer";
  update.kernel.category = Category::optimizer;
  update.kernel.alone_s = taken.si();
  update.kernel.sigma = k_derived_sigma;
  return update;
}

Exchange IterationExpansion::collective(ExchangeKind kind, int stage, int group,
                                        std::int32_t decision) {
  const CostKey key{static_cast<int>(kind), stage, group, decision, 0, 0.0};
  const auto known = exchanges_.find(key);
  return known != exchanges_.end() ? known->second
                                   : exchanges_[key] = exchange_program(
                                         costs_.collective(kind, stage, group, decision), kind);
}

Exchange IterationExpansion::parameters(ExchangeKind kind, RankGroup over, double count, int stage,
                                        int group) {
  const CostKey key{static_cast<int>(kind), stage, group, -1, static_cast<int>(over), count};
  const auto known = exchanges_.find(key);
  return known != exchanges_.end() ? known->second
                                   : exchanges_[key] = exchange_program(
                                         costs_.parameters(kind, over, count, stage, group), kind);
}

Exchange IterationExpansion::send(int from_stage, int to_stage, int rank) {
  const CostKey key{static_cast<int>(ExchangeKind::send), from_stage, rank, to_stage, 0, 0.0};
  const auto known = exchanges_.find(key);
  return known != exchanges_.end()
             ? known->second
             : exchanges_[key] =
                   exchange_program(costs_.send(from_stage, to_stage, rank), ExchangeKind::send);
}

Exchange IterationExpansion::exchange_program(FamilyCost found, ExchangeKind kind) {
  CollectiveCost& cost = found.cost;
  if (cost.loads.empty() && cost.latency.si() <= 0.0) {
    return {};
  }
  const double joules = joules_of(system_.topology(), cost);
  if (system_.folds()) {
    keep_slowest_links(system_.topology(), cost);
  }
  const std::int16_t index = programs_.family(found.family);
  Exchange result{.program =
                      programs_.collective(cost, category_of(kind), label_of(kind), index, 0)};
  step_.families[static_cast<std::size_t>(index)].kernels -= 1;  // counted as it runs
  step_.families[static_cast<std::size_t>(index)].extrapolated -= cost.extrapolated ? 1 : 0;
  result.seconds = step_.kernels.back().alone_s;
  ProgramNotes& notes = notes_of(result.program);
  notes.joules = joules;
  notes.seconds = result.seconds;
  notes.family = index;
  return result;
}

void IterationExpansion::exchanged(ProgramId program, std::size_t devices) {
  const ProgramNotes& notes = notes_of(program);
  FamilyUse& use = step_.families[static_cast<std::size_t>(notes.family)];
  const Kernel& kernel = step_.kernels[step_.first_kernel[static_cast<std::size_t>(program)]];
  use.kernels += 1;
  use.extrapolated += kernel.extrapolated ? 1 : 0;
  use.device_s += notes.seconds * static_cast<double>(devices);
  joules_ += notes.joules;
}

void IterationExpansion::ran(ProgramId program) {
  programs_.ran(program);
  const ProgramNotes& notes = notes_of(program);
  model_flops_ += notes.model_flops;
  hardware_flops_ += notes.hardware_flops;
}

ProgramId IterationExpansion::nothing() {
  const ProgramId program = programs_.begin();
  KernelPrograms::Estimated none;
  none.kernel.label = "join";
  none.kernel.category = Category::optimizer;
  none.kernel.family = programs_.family("join");
  programs_.add(none);
  notes_of(program) = {};
  return program;
}

}  // namespace moesim
