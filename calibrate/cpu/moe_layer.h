// Executes a plan: a real gate, real copies of token rows between the ranks' memories, real expert
// products, real reads of experts from disk.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "calibrate/cpu/expert_file.h"
#include "calibrate/cpu/moe_plan.h"
#include "calibrate/cpu/thread_team.h"
#include "sim/core/lru_index.h"

namespace moesim {

// x <- x / 2 + sum over a token's experts of weight * expert(x), layer after layer; the weight is
// the softmax of the gate's logits over the experts that the plan sends the token to.
class MoeLayers {
 public:
  // Expert e of layer l is matrix l * experts + e of the pool, and at the same place of `file`
  // (needed unless the plan's experts live in memory). All arguments outlive the object.
  MoeLayers(const MoePlan& plan, const WeightPool& pool, ThreadTeam& team, const ExpertFile* file);

  // One pass over all layers from the same input. Throws std::system_error when a read fails.
  TimedSample run();

  // Of the last run, by step of the plan; waiting for other steps is not in them.
  struct StepTime {
    double start_s = 0.0;  // host_now_s()
    double end_s = 0.0;
    double disk_s = 0.0;  // of it, reading experts
  };
  [[nodiscard]] std::span<const StepTime> step_times() const { return times_; }

  // [rank][token][hidden] after the last run.
  [[nodiscard]] std::span<const float> output(int rank) const;
  [[nodiscard]] std::span<const float> input() const { return input_; }
  [[nodiscard]] const float* gate_weights(int layer) const;
  [[nodiscard]] std::int64_t disk_reads() const { return disk_reads_; }  // of the last run

 private:
  using Floats = std::unique_ptr<float[], FreeMemory>;
  // Received rows, results, and intermediate results of one rank and micro-batch.
  // Results by parity of the layer: a rank may begin with its own rows of the next layer while
  // another one still combines this layer's.
  struct Received {
    Floats rows;
    std::array<Floats, 2> results;
  };
  struct Rank {
    Floats tokens;
    Floats logits;
    std::vector<std::int32_t> own_picks;
    std::vector<float> weights;  // [token][k]
    std::vector<Received> received;
    Floats scratch;
    std::optional<LruIndex> lru;
    Floats cache;
    std::int64_t disk_reads = 0;
  };
  // What a step does, as pointers that no run changes.
  struct Prepared {
    std::vector<RowMove> moves;
    std::vector<const float*> terms;  // combine: [token][k]
    std::vector<ExpertRows> experts;
  };

  void allocate();
  void prepare(std::size_t step);
  void execute(int thread, unsigned epoch);
  void run_gate(const MoeStep& step);
  void run_experts(std::size_t step);
  void run_combine(std::size_t step);
  const float* expert_weights(Rank& rank, int layer, int expert, double& disk_s);

  const MoePlan& plan_;
  const WeightPool& pool_;
  ThreadTeam& team_;
  const ExpertFile* file_;
  std::vector<float> input_;
  std::vector<Rank> ranks_;
  std::vector<Prepared> prepared_;
  std::vector<StepTime> times_;
  struct alignas(64) Flag {
    std::atomic<unsigned> epoch{0};
  };
  std::vector<Flag> done_;
  unsigned epoch_ = 0;
  std::atomic<bool> abandoned_{false};
  std::int64_t disk_reads_ = 0;
};

// Largest deviation of `tokens` sampled tokens from a plain one-thread computation in double
// precision, relative to the largest value of the token.
double deviation_from_reference(const MoeLayers& layers, const MoePlan& plan,
                                const WeightPool& pool, int tokens);

}  // namespace moesim
