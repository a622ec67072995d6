#include "sim/engine/lowering.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "sim/core/error.h"
#include "sim/engine/chain_builder.h"

namespace moesim {
namespace {

std::size_t at(int index) { return static_cast<std::size_t>(index); }

// One part of a block that has kernels of its own; with block and FFN entry the key of a program.
enum class Part : int {
  attention,
  dense,
  router,
  shared,
  free_experts,
  latent_in,
  latent_out,
  embedding,
  head,
};

constexpr std::int64_t k_parts = 16;
constexpr std::int64_t k_entries = 64;

std::int64_t key_of(Part part, int block = 0, int entry = 0) {
  ensure(entry < k_entries, "a block has fewer than 64 FFN entries");
  return (block * k_entries + entry) * k_parts + static_cast<std::int64_t>(part);
}

// What one rank works on outside its experts.
struct RankBatch {
  std::int64_t tokens = 0;
  std::vector<AttentionBatch> batches;
};

RankBatch batch_of(const Workload& workload) {
  std::vector<AttentionBatch> batches;
  if (workload.decode_requests > 0) {
    batches.push_back({.phase = Phase::decode,
                       .sequences = workload.decode_requests,
                       .query_len = 1,
                       .context = workload.context});
  }
  if (workload.prefill_tokens > 0) {
    batches.push_back({.phase = Phase::prefill,
                       .sequences = workload.prompts(),
                       .query_len = workload.prompt_tokens,
                       .context = workload.prompt_tokens});
  }
  return {workload.tokens(), std::move(batches)};
}

class StepLowering {
 public:
  explicit StepLowering(const LoweringInput& input)
      : in_(input),
        chains_(input.topology, input.kernels, input.parallelism.ranks()),
        home_(batch_of(input.workload)) {
    const int top_k = static_cast<int>(routing_shape(input.model).top_k);
    for (int g = 0; g < in_.groups.groups && top_k > 0; ++g) {
      all_to_all_.push_back(make_all_to_all(in_.topology, in_.comm_profiles, in_.comm_target,
                                            in_.model, in_.policy, in_.groups, g,
                                            in_.placement.slots(), top_k));
    }
    const int tp = in_.parallelism.attention_tp;
    for (int first = 0; first < in_.parallelism.ranks(); first += tp) {
      std::vector<int> ranks(at(tp));
      std::iota(ranks.begin(), ranks.end(), first);
      tensor_groups_.push_back(std::move(ranks));
    }
  }

  LoweredStep run() {
    const Precision& precision = in_.policy.precision;
    queue({key_of(Part::embedding), Category::embedding}, [this, &precision](const RankBatch& b) {
      return embedding_ops(in_.model, b.tokens, precision);
    });
    if (in_.parallelism.attention_tp > 1) {  // each rank looks up its part of the vocabulary
      tensor_parallel(CollectiveOp::all_reduce, 0, hidden_rows());
    }
    for (std::size_t l = 0; l < in_.model.layers.size(); ++l) {
      layer(static_cast<int>(l));
    }
    queue({key_of(Part::head), Category::head}, [this, &precision](const RankBatch& b) {
      return head_ops(in_.model, logit_rows_of(b.batches), precision, in_.parallelism.attention_tp);
    });
    const int last_layer = static_cast<int>(in_.model.layers.size()) - 1;
    flush(last_layer);
    if (!in_.traffic.resident.empty()) {
      gather_contexts(last_layer);
    }
    if (in_.parallelism.attention_tp > 1) {
      tensor_parallel(CollectiveOp::all_gather, last_layer, logits());
    }
    return std::move(chains_.step());
  }

 private:
  using Precision = OpPrecision;
  using MakeOps = std::function<std::vector<Op>(const RankBatch&)>;

  // Kernels of every rank on its own batch, until the next flush.
  void queue(ChainBuilder::Part part, MakeOps make_ops) {
    if (in_.traffic.resident.empty()) {
      chains_.queue(part, [&] { return make_ops(home_); });
    } else {
      pending_.emplace_back(part, std::move(make_ops));
    }
  }

  void flush(int l) {
    chains_.flush(l);
    if (pending_.empty()) {
      return;
    }
    const auto keys = static_cast<std::int64_t>(in_.model.blocks.size()) * k_entries * k_parts;
    for (int rank = 0; rank < in_.parallelism.ranks(); ++rank) {
      const RankBatch batch = resting_on(rank);
      if (batch.tokens == 0) {
        continue;
      }
      for (const auto& [part, make_ops] : pending_) {
        chains_.queue({part.key + keys * batch.tokens, part.category},
                      [&make = make_ops, &batch] { return make(batch); });
      }
      chains_.flush_rank(rank, l);
    }
    pending_.clear();
  }

  // The tokens that rest on a rank before the next routing decision.
  [[nodiscard]] RankBatch resting_on(int rank) const {
    const auto g = at(rank / in_.groups.units);
    const auto& layers = in_.traffic.resident;
    const TokenLayout& layout = at(next_decision_) < layers.size()
                                    ? layers[at(next_decision_)][g].before
                                    : layers.back()[g].after;
    Workload workload = in_.workload;
    workload.decode_requests = layout.tokens_of(rank % in_.groups.units);
    return batch_of(workload);
  }

  void layer(int l) {
    const int b = in_.model.layers[at(l)];
    const Block& block = in_.model.blocks[at(b)];
    const int tp = in_.parallelism.attention_tp;
    chains_.step().layer_is_moe.push_back(block.moe() != nullptr ? 1 : 0);
    queue({key_of(Part::attention, b), Category::attention},
          [this, &block, tp](const RankBatch& batch) {
            return attention_ops(in_.model, block, batch.batches, in_.policy.precision, tp);
          });
    if (tp > 1) {
      tensor_parallel(CollectiveOp::all_reduce, l, hidden_rows());
    }
    for (std::size_t i = 0; i < block.ffn.size(); ++i) {
      const FfnGroup& group = block.ffn[i];
      if (group.kind == FfnKind::dense) {
        dense(group, l, b, static_cast<int>(i));
      } else {
        for (std::int64_t round = 0; round < group.rounds; ++round) {
          experts(group, l, b, static_cast<int>(i));
        }
      }
    }
    flush(l);
  }

  void dense(const FfnGroup& group, int l, int b, int entry) {
    const int tp = in_.parallelism.attention_tp;
    queue({key_of(Part::dense, b, entry), Category::dense_ffn},
          [this, &group, tp](const RankBatch& batch) {
            return dense_ffn_ops(in_.model, group, batch.tokens, in_.policy.precision, tp);
          });
    if (tp > 1) {
      tensor_parallel(CollectiveOp::all_reduce, l, hidden_rows());
    }
  }

  void experts(const FfnGroup& group, int l, int b, int entry) {
    const Precision& precision = in_.policy.precision;
    const MoeModel& model = in_.model;
    const int tp = in_.parallelism.attention_tp;
    queue({key_of(Part::router, b, entry), Category::router}, [&](const RankBatch& batch) {
      return router_ops(model, group, batch.tokens, precision);
    });
    queue({key_of(Part::shared, b, entry), Category::shared_expert}, [&](const RankBatch& batch) {
      return shared_expert_ops(model, group, batch.tokens, precision, tp);
    });
    queue({key_of(Part::free_experts, b, entry), Category::router}, [&](const RankBatch& batch) {
      return free_expert_ops(model, group, batch.tokens, precision);
    });
    queue({key_of(Part::latent_in, b, entry), Category::shared_expert},
          [&](const RankBatch& batch) {
            return latent_in_ops(model, group, batch.tokens, precision);
          });
    flush(l);
    routed_experts(group, l);
    if (tp > 1) {
      // Slices of the batch come together; partial sums (of sliced experts) are added up.
      const bool partial_sums = in_.groups.lanes > 1 || !group.shared.empty();
      tensor_parallel(partial_sums ? CollectiveOp::all_reduce : CollectiveOp::all_gather, l,
                      hidden_rows());
    }
    queue({key_of(Part::latent_out, b, entry), Category::shared_expert},
          [this, &group](const RankBatch& batch) {
            return latent_out_ops(in_.model, group, batch.tokens, in_.policy.precision);
          });
  }

  // Dispatch, expert kernels and combine of one routing decision.
  void routed_experts(const FfnGroup& group, int l) {
    const auto decision = at(next_decision_++);
    for (int g = 0; g < in_.groups.groups; ++g) {
      AllToAllLowering& exchange = all_to_all_[at(g)];
      const LayerCounts& counts = in_.traffic.layers[decision][at(g)];
      const ReplicaChoice replicas(in_.placement, static_cast<int>(decision),
                                   exchange.node_of_rank());
      lower_counts(counts.experts, replicas, traffic_);
      bool comes_back = true;
      if (in_.traffic.resident.empty()) {
        exchange.lower({&in_.traffic.layout, &traffic_, &counts.distinct}, dispatch_, combine_);
      } else {
        const ResidentLayer& resident = in_.traffic.resident[decision][at(g)];
        exchange.lower({&resident.after, &resident.back, &resident.back_distinct}, unused_,
                       combine_);
        exchange.lower({&resident.before, &traffic_, &counts.distinct}, dispatch_, unused_);
        comes_back = std::ranges::any_of(resident.back.slot_pairs,
                                         [](std::int64_t pairs) { return pairs > 0; });
      }
      const std::vector<int> ranks = ranks_of(g);
      exchange_tokens(ranks, l, g, Category::dispatch, dispatch_);
      for (int unit = 0; unit < in_.groups.units; ++unit) {
        const Op op = routed_expert_op(in_.model, group, shard(unit, counts), in_.policy.precision);
        for (int lane = 0; lane < in_.groups.lanes; ++lane) {
          chains_.chain(in_.groups.rank(g, unit, lane), l, Category::experts, std::span(&op, 1));
        }
      }
      if (comes_back) {
        exchange_tokens(ranks, l, g, Category::combine, combine_);
      }
      note_load(l, g, exchange.grid());
    }
  }

  // At the end every rank learns every new token: one row each, as the dispatch would send it.
  void gather_contexts(int l) {
    if (in_.groups.units == 1) {
      return;
    }
    const FoundCollective law = collective_law(in_, CollectiveOp::all_gather);
    const std::int16_t family = chains_.family("collective/all_gather");
    const std::int64_t tokens = in_.traffic.layout.tokens();
    const Bytes rows =
        static_cast<double>(tokens) * activation_bytes(in_.model.hidden, in_.policy.dispatch);
    for (int g = 0; g < in_.groups.groups; ++g) {
      const std::vector<int> ranks = ranks_of(g);
      CollectiveCost cost =
          lower_collective(in_.topology, law, CollectiveOp::all_gather, ranks, rows);
      cost.token_copies = static_cast<double>(tokens * (in_.groups.units - 1));
      chains_.collective(ranks, l, Category::combine, "context_gather", 2 * g + 1, family, cost);
    }
  }

  // A single rank exchanges nothing.
  void exchange_tokens(const std::vector<int>& ranks, int l, int g, Category category,
                       const CollectiveCost& cost) {
    if (in_.groups.units == 1) {
      return;
    }
    const bool out = category == Category::dispatch;
    const std::int16_t family =
        chains_.family("all_to_all/" + in_.policy.all_to_all + (out ? "/dispatch" : "/combine"));
    chains_.collective(ranks, l, category, name_of(category), 2 * g + (out ? 0 : 1), family, cost);
  }

  [[nodiscard]] ExpertShard shard(int unit, const LayerCounts& counts) const {
    ExpertShard result;
    result.local_experts =
        in_.placement.first_slot[at(unit) + 1] - in_.placement.first_slot[at(unit)];
    result.etp = in_.groups.lanes;
    result.load = traffic_.load[at(unit)];
    result.entering_tokens =
        in_.groups.units == 1 ? in_.groups.tokens_per_unit : received_rows(unit, counts);
    return result;
  }

  // Rows that the all-to-all hands to a unit: one per token if it sends a token once per rank,
  // else one per (token, expert) pair.
  [[nodiscard]] std::int64_t received_rows(int unit, const LayerCounts& counts) const {
    const std::vector<std::int32_t>& tokens = counts.distinct.tokens_to_rank;
    if (tokens.empty()) {
      return traffic_.load[at(unit)].pairs;
    }
    const auto row = tokens.begin() + static_cast<std::ptrdiff_t>(unit) * in_.groups.units;
    return std::accumulate(row, row + in_.groups.units, std::int64_t{0});
  }

  void note_load(int l, int g, const RankGrid& grid) {
    LoweredStep& step = chains_.step();
    if (g == 0) {
      step.moe_layers.push_back({.layer = l});
      heaviest_ = 0;
      total_ = 0;
    }
    LayerLoad& load = step.moe_layers.back();
    for (int unit = 0; unit < in_.groups.units; ++unit) {
      const std::int64_t pairs = traffic_.load[at(unit)].pairs;
      total_ += pairs;
      if (pairs > heaviest_) {
        heaviest_ = pairs;
        load.busiest_rank = in_.groups.rank(g, unit, 0);
      }
    }
    const double mean =
        static_cast<double>(total_) / (static_cast<double>(g + 1) * in_.groups.units);
    load.max_over_mean = mean > 0 ? static_cast<double>(heaviest_) / mean : 1.0;
    add_scopes(grid, load);
  }

  // Splits pair copies into those that stay, change rank, and change node.
  void add_scopes(const RankGrid& grid, LayerLoad& load) const {
    const auto ranks = at(traffic_.ranks);
    const auto block = at(grid.ranks_per_node);
    for (std::size_t to = 0; to < ranks; ++to) {
      const std::int32_t* row = &traffic_.pair_copies[to * ranks];
      const std::int64_t all = std::accumulate(row, row + ranks, std::int64_t{0});
      const std::int32_t* node = row + to / block * block;
      const std::int64_t near = std::accumulate(node, node + block, std::int64_t{0});
      load.pairs += static_cast<double>(all);
      load.tokens_sent += static_cast<double>(all - row[to]);
      load.tokens_sent_far += static_cast<double>(all - near);
    }
  }

  [[nodiscard]] std::vector<int> ranks_of(int group) const {
    std::vector<int> ranks(at(in_.groups.units * in_.groups.lanes));
    std::iota(ranks.begin(), ranks.end(), in_.groups.rank(group, 0, 0));
    return ranks;
  }

  // Of the rows that are sampled, over the whole vocabulary.
  [[nodiscard]] Bytes logits() const {
    return Bytes(static_cast<double>(logit_rows_of(home_.batches)) *
                 static_cast<double>(in_.model.vocabulary) *
                 stored_bits(in_.policy.precision.activation) / 8);
  }

  // The batch's hidden states.
  [[nodiscard]] Bytes hidden_rows() const {
    return Bytes(static_cast<double>(home_.tokens) * static_cast<double>(in_.model.hidden) *
                 stored_bits(in_.policy.precision.activation) / 8);
  }

  void tensor_parallel(CollectiveOp op, int l, Bytes bytes) {
    flush(l);
    const FoundCollective law = collective_law(in_, op);
    const std::int16_t family = chains_.family("collective/" + std::string(name_of(op)));
    int stream = 2 * in_.groups.groups;
    for (const auto& ranks : tensor_groups_) {
      chains_.collective(ranks, l, Category::tensor_parallel, name_of(op), stream++, family,
                         lower_collective(in_.topology, law, op, ranks, bytes));
    }
  }

  const LoweringInput& in_;
  ChainBuilder chains_;
  RankBatch home_;
  std::vector<std::pair<ChainBuilder::Part, MakeOps>> pending_;  // of ranks whose batches differ
  std::vector<AllToAllLowering> all_to_all_;                     // per group
  std::vector<std::vector<int>> tensor_groups_;
  int next_decision_ = 0;
  std::int64_t heaviest_ = 0;
  std::int64_t total_ = 0;
  LayerTraffic traffic_;  // scratch, reused from layer to layer
  CollectiveCost dispatch_;
  CollectiveCost combine_;
  CollectiveCost unused_;
};

}  // namespace

LoweredStep lower_step(const LoweringInput& input) { return StepLowering(input).run(); }

}  // namespace moesim
