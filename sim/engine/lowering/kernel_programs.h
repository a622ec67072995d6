// Kernels as programs of a step's graph: estimated once, counted as often as they run.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "hardware/topology.h"
#include "models/kernels/kernel_model.h"
#include "models/operators/operators.h"
#include "sim/engine/exchange/all_to_all_links.h"
#include "sim/engine/lowered_step.h"
#include "sim/engine/rank_map.h"

namespace moesim {

// Resource ids: device d's arithmetic is 2 d, its memory 2 d + 1; links follow.
class KernelPrograms {
 public:
  KernelPrograms(const Topology& topology, const KernelModel& kernels, const RankMap& ranks);

  // A step without programs yet; what follows belongs to it. Families and estimates of an earlier
  // step mean nothing in this one.
  void begin_step(LoweredStep& step);

  struct Estimated {
    KernelEstimate time;
    Kernel kernel;
    double flops = 0.0;
    double bytes = 0.0;
  };
  Estimated estimate(const Op& op, Category category);
  // Whether expert_passes are to be estimated beside these experts.
  [[nodiscard]] bool products_alone(const Op& experts) const {
    return kernels_.products_alone(experts.shape);
  }
  std::vector<Estimated> estimate_all(std::span<const Op> ops, Category category);
  // `padded` are the same kernels for a batch that was filled up: work that counts as useful, and
  // what the filling costs.
  void price_padding(std::vector<Estimated>& padded, std::span<const Op> unpadded) const;

  // A program grows until the next call of begin().
  ProgramId begin();
  void add(const Estimated& kernel);
  // One more rank runs the program.
  void ran(ProgramId program) { ++runs_[static_cast<std::size_t>(program)]; }
  // Sums over everything that ran; called once, at the end.
  void finish();
  // A collective's only segment, and its use by so many ranks.
  ProgramId collective(const CollectiveCost& cost, Category category, std::string_view label,
                       std::int16_t family, std::size_t ranks);

  // While the program that was begun last runs, its devices' kernels do without this share of their
  // arithmetic.
  void hold(std::span<const int> devices, double fraction);

  std::int16_t family(const std::string& name);

 private:
  std::int16_t family_of(const Op& op);

  const KernelModel& kernels_;
  LoweredStep* step_ = nullptr;
  int devices_;
  std::vector<Resource> resources_;
  std::map<std::string_view, std::int16_t>
      expert_family_;  // by label of the op: shapes vary, kernels do not
  struct Work {
    double flops = 0.0;
    double bytes = 0.0;
  };
  std::vector<Work> work_;          // by kernel
  std::vector<std::int64_t> runs_;  // by program
  std::vector<double> link_rates_;  // by link
  std::vector<Need> needs_;         // scratch
};

}  // namespace moesim
