// Grows a step's graph rank by rank: kernels are collected, then flushed as one chain per rank.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "models/kernel_model.h"
#include "models/operators.h"
#include "sim/engine/all_to_all_links.h"
#include "sim/engine/lowered_step.h"

namespace moesim {

// Resource ids: device d's arithmetic is 2 d, its memory 2 d + 1; links follow.
class ChainBuilder {
 public:
  ChainBuilder(const Topology& topology, const KernelModel& kernels, int ranks);

  // Queues kernels for every rank's next chain. `key` names them: equal keys mean equal ops, so
  // that their program is built once.
  struct Part {
    std::int64_t key = 0;
    Category category = Category::attention;
  };
  template <class MakeOps>
  void queue(Part part, MakeOps make_ops) {
    if (!parts_.contains(part.key)) {
      add_part(part, make_ops());
    }
    if (!parts_.at(part.key).empty()) {
      queued_.push_back(part.key);
    }
  }

  // One chain per rank from what is queued, after everything each rank did before. Nothing queued:
  // nothing happens.
  void flush(int layer);

  // The same for one rank alone: ranks whose batches differ queue and flush in turn.
  void flush_rank(int rank, int layer);

  // A chain of one rank on its own, after what the rank did before.
  void chain(int rank, int layer, Category category, std::span<const Op> ops);

  // A collective of these ranks: waits for what each did last; each then waits for it.
  void collective(std::span<const int> ranks, int layer, Category category, std::string_view label,
                  int stream, std::int16_t family, const CollectiveCost& cost);

  std::int16_t family(const std::string& name);
  LoweredStep& step() { return step_; }

 private:
  struct Estimated {
    KernelEstimate time;
    Kernel kernel;
    double flops = 0.0;
    double bytes = 0.0;
  };
  void add_part(Part part, const std::vector<Op>& ops);
  ProgramId queued_program(int ranks);
  void add_chain(int rank, int layer, ProgramId program, std::int32_t label);
  Estimated estimate(const Op& op, Category category);
  std::int16_t family_of(const Op& op);
  ProgramId begin_program();
  void add_kernel(const Estimated& kernel, std::int64_t times);
  void count_use(const Estimated& kernel, std::int64_t times);

  const KernelModel& kernels_;
  int ranks_;
  LoweredStep step_;
  std::map<std::int64_t, std::vector<Estimated>> parts_;
  std::vector<std::int64_t> queued_;
  std::map<std::vector<std::int64_t>, ProgramId> programs_;
  std::vector<TaskId> last_;  // per rank; -1 at the start
  std::map<std::string_view, std::int16_t>
      expert_family_;           // by label of the op: shapes vary, kernels do not
  std::vector<TaskId> before_;  // scratch
  std::vector<Need> needs_;     // scratch
};

}  // namespace moesim
