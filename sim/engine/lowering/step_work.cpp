#include "sim/engine/lowering/step_work.h"

#include <algorithm>
#include <utility>

namespace moesim {
namespace {

using Edges = std::vector<WorkEdge>;

class MicroBatchWork {
 public:
  MicroBatchWork(const MoeModel& model, const StepWorkOptions& options, std::int32_t batch,
                 Work& work)
      : model_(model), options_(options), batch_(batch), work_(work) {
    arrivals_.resize(model.layers.size() + 1);
  }

  void build() {
    residual_ = {add(WorkKind::embedding, {})};
    sum(WorkKind::embedding_sum);
    for (layer_ = 0; layer_ < static_cast<std::int32_t>(model_.layers.size()); ++layer_) {
      layer();
    }
    --layer_;
    take_arrivals(static_cast<std::size_t>(layer_) + 1);
    WorkEdge last = add(WorkKind::head, residual_);
    if (options_.gathers_contexts) {
      last = add(WorkKind::context_gather, {last});
    }
    if (options_.tensor_parallel) {
      add(WorkKind::logits_gather, {last});
    }
  }

 private:
  WorkEdge add(WorkKind kind, const Edges& after, std::int32_t entry = 0, std::int32_t part = 0) {
    return {work_.add({.kind = kind,
                       .layer = layer_,
                       .batch = batch_,
                       .entry = entry,
                       .decision = decision_,
                       .part = part},
                      after)};
  }

  // An all-reduce of what the residual stream waits for.
  void sum(WorkKind kind, std::int32_t entry = 0) {
    if (options_.tensor_parallel) {
      residual_ = {add(kind, residual_, entry)};
    }
  }

  // Outputs of entries of earlier blocks that are added here.
  void take_arrivals(std::size_t layer) {
    Edges& arrived = arrivals_[layer];
    residual_.insert(residual_.end(), arrived.begin(), arrived.end());
    arrived.clear();
  }

  void layer() {
    const auto here = static_cast<std::size_t>(layer_);
    take_arrivals(here);
    const Block& block = model_.layer(here);
    residual_ = {add(WorkKind::attention, residual_)};
    if (options_.attention_split) {
      residual_ = {add(WorkKind::attention_core, residual_)};
    }
    if (block.attention.kind != AttentionKind::none) {
      sum(WorkKind::attention_sum);
    }
    for (std::size_t i = 0; i < block.ffn.size(); ++i) {
      const FfnGroup& group = block.ffn[i];
      const Edges input = residual_;
      if (group.kind == FfnKind::dense) {
        residual_ = {add(WorkKind::dense, residual_, static_cast<std::int32_t>(i))};
        sum(WorkKind::dense_sum, static_cast<std::int32_t>(i));
      } else {
        for (std::int64_t round = 0; round < group.rounds; ++round) {
          experts(group, static_cast<std::int32_t>(i));
        }
      }
      if (group.shortcut) {
        const std::size_t joins =
            std::min(here + 1 + static_cast<std::size_t>(group.shortcut->adds_after_blocks),
                     arrivals_.size() - 1);
        Edges& arrivals = arrivals_[joins];
        arrivals.insert(arrivals.end(), residual_.begin(), residual_.end());
        residual_ = input;
      }
    }
  }

  void experts(const FfnGroup& group, std::int32_t entry) {
    const Edges input = residual_;
    const WorkEdge router = add(WorkKind::router, input, entry);
    residual_ = {add(WorkKind::shared, input, entry), add(WorkKind::free_experts, {router}, entry)};
    Edges ready{router};
    if (group.latent_dim > 0) {
      ready.push_back(add(WorkKind::latent_in, input, entry));
    }
    Edges results;
    for (std::int32_t part = 0; part < dispatches(); ++part) {
      results.push_back(add(WorkKind::dispatch, ready, entry, part));
    }
    results.resize(static_cast<std::size_t>(options_.parts), results.back());
    if (options_.gathers_in_units) {
      of_every_part(WorkKind::unit_gather, entry, results);
    }
    of_every_part(WorkKind::experts, entry, results);
    if (options_.gathers_in_units) {
      of_every_part(WorkKind::unit_scatter, entry, results);
    }
    of_every_part(WorkKind::combine, entry, results);
    residual_.insert(residual_.end(), results.begin(), results.end());
    ++decision_;
    sum(WorkKind::expert_sum, entry);
    if (group.latent_dim > 0) {
      residual_ = {add(WorkKind::latent_out, residual_, entry)};
    }
  }

  // Each part after what it waited for so far.
  void of_every_part(WorkKind kind, std::int32_t entry, Edges& parts) {
    for (std::size_t part = 0; part < parts.size(); ++part) {
      parts[part] = add(kind, {parts[part]}, entry, static_cast<std::int32_t>(part));
    }
  }

  // Halves of the experts get their rows at once.
  [[nodiscard]] std::int32_t dispatches() const {
    return options_.rule == PartRule::halves ? 1 : options_.parts;
  }

  const MoeModel& model_;
  const StepWorkOptions& options_;
  std::int32_t batch_;
  Work& work_;
  std::int32_t layer_ = 0;
  std::int32_t decision_ = 0;
  Edges residual_;               // what a reader of the residual stream waits for
  std::vector<Edges> arrivals_;  // by layer: outputs that join the stream before it
};

}  // namespace

std::int64_t shortcut_layers(const MoeModel& model) {
  return std::ranges::count_if(model.layers, [&model](std::int32_t b) {
    return std::ranges::any_of(model.blocks[static_cast<std::size_t>(b)].ffn,
                               [](const FfnGroup& group) { return group.shortcut.has_value(); });
  });
}

Work step_work(const MoeModel& model, const StepWorkOptions& options) {
  Work work;
  for (std::int32_t batch = 0; batch < options.micro_batches; ++batch) {
    MicroBatchWork(model, options, batch, work).build();
  }
  return work;
}

}  // namespace moesim
