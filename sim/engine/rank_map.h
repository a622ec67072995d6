// Who is with whom. Attention and experts cut the ranks of a pipeline stage independently:
// attention into tensor- (tp), context- (cp) and data-parallel (dp) groups, experts into tensor-
// (etp), expert- (ep) and data-parallel (edp) groups; only the stages (pp, each of vpp parts) are
// shared, so tp * cp * dp = etp * ep * edp ranks per stage.
//
// Rank r of a stage: tensor index r mod tp, context index r / tp mod cp, data-parallel rank
// r / (tp cp). Experts: `etp` consecutive ranks are a *unit* that slices one set of experts; `ep`
// units are an expert group, which holds every expert; `edp` groups stand side by side. A unit
// dispatches its attention rank's tokens, or its equal part when tp > etp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace moesim {

struct Parallelism {
  int attention_tp = 1;
  int attention_cp = 1;
  int attention_dp = 1;
  int pp = 1;
  int vpp = 1;
  int expert_tp = 1;
  int expert_ep = 1;
  int expert_dp = 1;

  [[nodiscard]] int ranks_per_stage() const { return attention_tp * attention_cp * attention_dp; }
  // All stages; parts of a stage share its ranks.
  [[nodiscard]] int ranks() const { return pp * ranks_per_stage(); }
};

class RankMap {
 public:
  // `devices` ranks stand on devices of their own; more ranks than devices go round (several ranks,
  // or stages, per device). Steps are lowered with one stage, and with ranks of every group on
  // devices of their own; a System has one rank per device so far. Throws
  // InvariantError unless both cuts cover the ranks and the ranks are a multiple of the devices.
  RankMap(const Parallelism& parallelism, int devices);

  [[nodiscard]] const Parallelism& parallelism() const { return p_; }
  [[nodiscard]] int ranks() const { return p_.ranks(); }
  [[nodiscard]] int ranks_per_stage() const { return p_.ranks_per_stage(); }
  [[nodiscard]] int devices() const { return devices_; }
  [[nodiscard]] int device_of(int rank) const { return rank % devices_; }
  [[nodiscard]] int first_rank(int stage) const { return stage * ranks_per_stage(); }

  // Attention. Data-parallel ranks are numbered within their stage.
  [[nodiscard]] int attention_ranks() const { return p_.attention_dp; }
  [[nodiscard]] int attention_rank_of(int rank) const {
    return rank % ranks_per_stage() / (p_.attention_tp * p_.attention_cp);
  }
  [[nodiscard]] int tensor_groups() const { return ranks() / p_.attention_tp; }
  // tp consecutive ranks.
  [[nodiscard]] std::vector<int> tensor_group(int group) const;

  // Experts of one stage.
  [[nodiscard]] int expert_groups() const { return p_.expert_dp; }
  [[nodiscard]] int units() const { return p_.expert_ep; }  // per group
  [[nodiscard]] int lanes() const { return p_.expert_tp; }  // ranks of a unit
  [[nodiscard]] int rank_of(int group, int unit, int lane) const {
    return (group * units() + unit) * lanes() + lane;
  }
  [[nodiscard]] int group_of(int rank) const {
    return rank % ranks_per_stage() / (units() * lanes());
  }
  [[nodiscard]] int unit_of(int rank) const { return rank / lanes() % units(); }
  [[nodiscard]] std::vector<int> expert_group(int group) const;
  // Units that share the tokens of one attention rank; requires that etp divides tp * cp.
  [[nodiscard]] int units_per_attention_rank() const {
    return p_.attention_tp * p_.attention_cp / p_.expert_tp;
  }

 private:
  Parallelism p_;
  int devices_ = 1;
};

}  // namespace moesim
