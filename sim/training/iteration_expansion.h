// What an iteration's work is on the machine: programs of its graph.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "sim/engine/lowering/kernel_programs.h"
#include "sim/training/exchange_costs.h"
#include "sim/training/expert_traffic.h"
#include "sim/training/frameworks.h"
#include "sim/training/iteration_work.h"
#include "sim/training/kernel_runs.h"
#include "sim/training/rank_parameters.h"
#include "sim/training/training_system.h"

namespace moesim {

inline constexpr ProgramId k_nothing = -1;

// An exchange of one group of a stage, or of all its groups at once.
struct Exchange {
  ProgramId program = k_nothing;
  double seconds = 0.0;  // alone
};

class IterationExpansion {
 public:
  // All of them must outlive this. The step is begun here.
  IterationExpansion(const TrainingSystem& system, const ExpertTraffic& traffic, LoweredStep& step);

  // Runs one behind the other on a rank of the unit; k_nothing without kernels.
  Exchange chain(std::span<const KernelRun> runs, int unit);
  // The optimizer's update of what a rank of the stage keeps of its parameters.
  Exchange optimizer(const RankParameters& parameters);

  // `group`: position in groups_of(), or -1: all of the stage's groups at once.
  Exchange collective(ExchangeKind kind, int stage, int group, std::int32_t decision);
  // Gathers (weights) or reduces (gradients) so many parameters over the ranks that share them.
  Exchange parameters(ExchangeKind kind, RankGroup over, double count, int stage, int group);
  // To another stage: from one rank, or from all (-1).
  Exchange send(int from_stage, int to_stage, int rank);

  // One more rank runs the kernels; one more exchange is made, by so many devices that are counted.
  void ran(ProgramId program);
  // A program that takes no time, for tasks that only join others.
  ProgramId nothing();
  void exchanged(ProgramId program, std::size_t devices);
  void finish() { programs_.finish(); }

  [[nodiscard]] double model_flops() const { return model_flops_; }  // of ranks that ran
  [[nodiscard]] double hardware_flops() const { return hardware_flops_; }
  [[nodiscard]] double joules() const { return joules_; }  // of links, of whole stages
  // Laws that stood in for others, by the family they are listed under.
  [[nodiscard]] const std::map<std::string, std::string>& derived() const { return derived_; }
  [[nodiscard]] std::vector<CommProvenance> laws() const { return costs_.laws(); }

 private:
  using ChainKey = std::pair<std::vector<KernelRun>, int>;
  using CostKey = std::tuple<int, int, int, int, int, double>;
  struct ProgramNotes {
    double model_flops = 0.0;
    double hardware_flops = 0.0;
    double joules = 0.0;
    double seconds = 0.0;
    std::int16_t family = -1;
  };

  KernelPrograms::Estimated estimate(const TrainKernel& kernel, Category category);
  // What is missing of the host's time for so many launches (frameworks.h).
  void wait_for_host(double kernels, Category category, Exchange& chain);
  Exchange program_of(std::span<const TrainKernel> kernels, std::span<const Category> categories);
  [[nodiscard]] KernelPrograms::Estimated offloaded_update(double count, double crossing,
                                                           double in_host) const;
  Exchange exchange_program(FamilyCost found, ExchangeKind kind);
  ProgramNotes& notes_of(ProgramId program);

  const TrainingSystem& system_;
  const ExpertTraffic& traffic_;
  ExchangeCosts costs_;
  LoweredStep& step_;
  const TrainingFramework& framework_;
  KernelPrograms programs_;
  std::map<ChainKey, Exchange> chains_;
  std::map<CostKey, Exchange> exchanges_;
  std::map<std::string, std::string> derived_;
  std::vector<ProgramNotes> notes_;  // by program
  double model_flops_ = 0.0;
  double hardware_flops_ = 0.0;
  double joules_ = 0.0;
};

}  // namespace moesim
