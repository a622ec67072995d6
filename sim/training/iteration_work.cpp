#include "sim/training/iteration_work.h"

#include <algorithm>

#include "sim/core/error.h"

namespace moesim {
namespace {

bool recomputes(const TrainWorkload& workload, std::string_view module) {
  return std::ranges::find(workload.recompute_modules, module) != workload.recompute_modules.end();
}

ExchangeKind dual_of(ExchangeKind kind) {
  switch (kind) {
    case ExchangeKind::tensor_gather:
      return ExchangeKind::tensor_scatter;
    case ExchangeKind::tensor_scatter:
      return ExchangeKind::tensor_gather;
    case ExchangeKind::dispatch:
      return ExchangeKind::combine;
    case ExchangeKind::combine:
      return ExchangeKind::dispatch;
    case ExchangeKind::expert_gather:
      return ExchangeKind::expert_scatter;
    case ExchangeKind::expert_scatter:
      return ExchangeKind::expert_gather;
    case ExchangeKind::context:
      return ExchangeKind::context_back;
    default:
      return kind;
  }
}

// A layer's forward pass, piece by piece.
class LayerWork {
 public:
  LayerWork(const MoeModel& model, std::int32_t layer, std::int32_t decision,
            const PartOptions& options)
      : block_id_(model.layers[static_cast<std::size_t>(layer)]),
        block_(model.layer(static_cast<std::size_t>(layer))),
        options_(options),
        layer_(layer),
        decision_(decision) {}

  std::vector<WorkPiece> build() {
    attention();
    for (std::size_t i = 0; i < block_.ffn.size(); ++i) {
      entry_ = static_cast<std::int32_t>(i);
      const FfnGroup& group = block_.ffn[i];
      if (group.kind == FfnKind::dense) {
        sliced(KernelPart::dense);
        continue;
      }
      for (std::int64_t round = 0; round < group.rounds; ++round) {
        experts(group);
        ++decision_;
      }
    }
    return std::move(pieces_);
  }

 private:
  void kernels(KernelPart part) {
    WorkPiece piece{.layer = layer_};
    piece.run = {.part = part, .block = block_id_, .entry = entry_};
    if (part == KernelPart::experts && options_.decisions_differ) {
      piece.run.decision = decision_;
    }
    pieces_.push_back(piece);
  }

  void exchange(ExchangeKind kind, bool ahead = false) {
    const bool differs = options_.decisions_differ &&
                         (kind == ExchangeKind::dispatch || kind == ExchangeKind::combine);
    pieces_.push_back({.is_exchange = true,
                       .exchange = kind,
                       .layer = layer_,
                       .decision = differs ? decision_ : -1,
                       .ahead = ahead});
  }

  // Between whole rows: gathered before and scattered behind, or summed behind.
  void sliced(KernelPart part) {
    if (options_.sequence_parallel) {
      exchange(ExchangeKind::tensor_gather);
    }
    if (part == KernelPart::attention && options_.context_parallel) {
      exchange(ExchangeKind::context, true);
    }
    kernels(part);
    if (options_.tensor_parallel) {
      exchange(options_.sequence_parallel ? ExchangeKind::tensor_scatter
                                          : ExchangeKind::tensor_sum);
    }
  }

  void attention() {
    kernels(KernelPart::attention_norm);
    if (block_.attention.kind != AttentionKind::none) {
      sliced(KernelPart::attention);
    }
    kernels(KernelPart::ffn_norm);
  }

  void experts(const FfnGroup& group) {
    kernels(KernelPart::router);
    if (!group.shared.empty()) {
      sliced(KernelPart::shared);
    }
    if (options_.dispatches) {
      exchange(ExchangeKind::dispatch);
    }
    if (options_.slices_experts) {
      exchange(ExchangeKind::expert_gather);
    }
    kernels(KernelPart::experts);
    if (options_.slices_experts) {
      exchange(ExchangeKind::expert_scatter);
    }
    if (options_.dispatches) {
      exchange(ExchangeKind::combine);
    }
    // Without sequence parallelism every rank of a tensor-parallel group needs all rows.
    if (options_.tensor_parallel && !options_.sequence_parallel) {
      exchange(ExchangeKind::tensor_gather);
    }
    if (group.latent_dim > 0) {
      kernels(KernelPart::latent_out);
    }
  }

  std::int32_t block_id_;
  const Block& block_;
  const PartOptions& options_;
  std::int32_t layer_;
  std::int32_t decision_;
  std::int32_t entry_ = 0;
  std::vector<WorkPiece> pieces_;
};

std::int32_t decisions_of(const Block& block) {
  std::int64_t decisions = 0;
  for (const FfnGroup& group : block.ffn) {
    decisions += group.kind == FfnKind::moe ? group.rounds : 0;
  }
  return static_cast<std::int32_t>(decisions);
}

class PartWork {
 public:
  PartWork(const MoeModel& model, const TrainWorkload& workload, const PartOptions& options)
      : model_(model), workload_(workload), options_(options) {}

  std::vector<WorkPiece> build(const ModelPart& part, Pass pass) {
    std::vector<std::vector<WorkPiece>> layers = forwards(part);
    if (pass == Pass::forward) {
      for (const auto& layer : layers) {
        fetch(layer);
        append(layer);
      }
      return std::move(pieces_);
    }
    std::ranges::reverse(layers);
    for (const auto& layer : layers) {
      fetch(layer);
      if (pass != Pass::weight_grad) {
        again(layer);
      }
      backward(layer, pass);
    }
    return std::move(pieces_);
  }

 private:
  // The part's layers, with what is before and behind the model's as layers of their own.
  std::vector<std::vector<WorkPiece>> forwards(const ModelPart& part) {
    std::vector<std::vector<WorkPiece>> layers;
    if (part.embedding) {
      layers.push_back({ends_of_model(KernelPart::embedding)});
      if (options_.tensor_parallel) {
        layers.back().push_back({.is_exchange = true,
                                 .exchange = options_.sequence_parallel
                                                 ? ExchangeKind::tensor_scatter
                                                 : ExchangeKind::tensor_sum});
      }
    }
    std::int32_t decision = 0;
    const auto total = static_cast<std::int32_t>(model_.layers.size());
    const auto modules = static_cast<std::int32_t>(model_.mtp_layers);
    for (std::int32_t l = 0; l < total; ++l) {
      const bool here = l >= part.first_layer && l < part.first_layer + part.layers;
      const bool module = part.head && l >= total - modules;
      if (here || module) {
        layers.push_back(LayerWork(model_, l, decision, options_).build());
      }
      decision += decisions_of(model_.layer(static_cast<std::size_t>(l)));
    }
    if (part.head) {
      layers.emplace_back();
      if (options_.sequence_parallel) {
        layers.back().push_back({.is_exchange = true, .exchange = ExchangeKind::tensor_gather});
      }
      layers.back().push_back(ends_of_model(KernelPart::head));
    }
    return layers;
  }

  static WorkPiece ends_of_model(KernelPart part) {
    WorkPiece piece;
    piece.run.part = part;
    return piece;
  }

  void append(const std::vector<WorkPiece>& pieces) {
    pieces_.insert(pieces_.end(), pieces.begin(), pieces.end());
  }

  void fetch(const std::vector<WorkPiece>& layer) {
    if (options_.fetches_weights && !layer.empty() && layer.front().layer >= 0) {
      pieces_.push_back({.is_exchange = true,
                         .exchange = ExchangeKind::weights,
                         .layer = layer.front().layer,
                         .ahead = true});
    }
  }

  // Forward work of a layer that its backward pass needs again. Whole layers with full
  // recomputation; the exchanges of experts with the module "moe"; else kernels alone.
  void again(const std::vector<WorkPiece>& layer) {
    const bool is_layer = !layer.empty() && layer.front().layer >= 0;
    if (!is_layer || workload_.recompute == Recompute::none) {
      return;
    }
    const bool full = workload_.recompute == Recompute::full;
    const bool experts = recomputes(workload_, "moe");
    bool behind_router = false;
    for (WorkPiece piece : layer) {
      const bool of_experts = piece.run.part == KernelPart::router ||
                              piece.run.part == KernelPart::experts ||
                              piece.run.part == KernelPart::shared;
      behind_router = behind_router || (!piece.is_exchange && piece.run.part == KernelPart::router);
      const bool whole = full || (experts && behind_router && (piece.is_exchange || of_experts));
      if (piece.is_exchange) {
        if (whole) {
          pieces_.push_back(piece);
        }
        continue;
      }
      piece.run.pass = KernelPass::again;
      piece.run.selected = !whole;
      pieces_.push_back(piece);
    }
  }

  void backward(const std::vector<WorkPiece>& layer, Pass pass) {
    for (auto piece = layer.rbegin(); piece != layer.rend(); ++piece) {
      if (piece->is_exchange) {
        // What runs beside kernels comes before them, here as there: see below.
        if (pass != Pass::weight_grad && piece->exchange != ExchangeKind::context) {
          pieces_.push_back(*piece);
          pieces_.back().exchange = dual_of(piece->exchange);
        }
        continue;
      }
      const auto before = std::next(piece);
      if (pass != Pass::weight_grad && before != layer.rend() && before->is_exchange &&
          before->exchange == ExchangeKind::context) {
        pieces_.push_back(*before);
        pieces_.back().exchange = dual_of(before->exchange);
      }
      if (pass != Pass::weight_grad) {
        pieces_.push_back(*piece);
        pieces_.back().run.pass = KernelPass::input_grad;
      }
      if (pass != Pass::input_grad) {
        pieces_.push_back(*piece);
        pieces_.back().run.pass = KernelPass::weight_grad;
      }
    }
  }

  const MoeModel& model_;
  const TrainWorkload& workload_;
  const PartOptions& options_;
  std::vector<WorkPiece> pieces_;
};

}  // namespace

std::vector<WorkPiece> part_work(const MoeModel& model, const ModelPart& part, Pass pass,
                                 const TrainWorkload& workload, const PartOptions& options) {
  return PartWork(model, workload, options).build(part, pass);
}

}  // namespace moesim
