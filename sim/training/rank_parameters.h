// Parameters that one rank of a stage holds.
#pragma once

#include "models/network/moe_model.h"
#include "sim/engine/rank_map.h"
#include "sim/training/stage_memory.h"

namespace moesim {

// Numbers of parameters. `dense` is cut over tensor parallelism and the same on all ranks of cp x
// dp, `experts` over etp and ep and the same on all ranks of edp.
struct RankParameters {
  double dense = 0.0;
  double experts = 0.0;

  RankParameters& operator+=(const RankParameters& other);
};

class ParameterShares {
 public:
  ParameterShares(const MoeModel& model, const Parallelism& parallelism);

  [[nodiscard]] RankParameters layer(std::int32_t layer) const;
  [[nodiscard]] double embedding() const { return embedding_; }
  [[nodiscard]] double head() const { return head_; }
  // Embedding, head and prediction modules included where the part has them.
  [[nodiscard]] RankParameters part(const ModelPart& part) const;

 private:
  const MoeModel& model_;
  std::vector<RankParameters> by_block_;
  double embedding_ = 0.0;
  double head_ = 0.0;  // an own copy of the table where it is tied
};

}  // namespace moesim
