#include "sim/training/rank_parameters.h"

#include "models/network/moe_model_size.h"

namespace moesim {

RankParameters& RankParameters::operator+=(const RankParameters& other) {
  dense += other.dense;
  experts += other.experts;
  return *this;
}

ParameterShares::ParameterShares(const MoeModel& model, const Parallelism& p) : model_(model) {
  // Two bytes each, so that bytes count parameters; a format that the model's description pins
  // says nothing of the weights that are trained.
  MoeModel plain = model;
  for (Block& block : plain.blocks) {
    block.attention.weight_bits = 0.0;
    for (FfnGroup& group : block.ffn) {
      group.weight_bits = 0.0;
      for (ExpertSet& set : group.experts) {
        set.weight_bits = 0.0;
      }
      for (SharedExperts& shared : group.shared) {
        shared.weight_bits = 0.0;
      }
    }
  }
  constexpr double each = 2.0;
  const WeightBytes bytes = weight_bytes(plain, Quantisation{},
                                         {.attention = p.attention_tp,
                                          .dense = p.attention_tp,
                                          .shared = p.attention_tp,
                                          .expert = p.expert_tp,
                                          .vocabulary = p.attention_tp});
  embedding_ = bytes.embedding.si() / each;
  head_ = (bytes.head.si() > 0 ? bytes.head : bytes.embedding).si() / each +
          bytes.final_norm.si() / each;
  for (const BlockBytes& block : bytes.blocks) {
    RankParameters& own = by_block_.emplace_back();
    own.dense = block.resident().si() / each;
    for (const FfnBytes& ffn : block.ffn) {
      own.experts +=
          ffn.routed_expert.si() / each * static_cast<double>(ffn.routed_experts) / p.expert_ep;
    }
  }
}

RankParameters ParameterShares::layer(std::int32_t layer) const {
  return by_block_[static_cast<std::size_t>(model_.layers[static_cast<std::size_t>(layer)])];
}

RankParameters ParameterShares::part(const ModelPart& part) const {
  RankParameters sum;
  for (int l = part.first_layer; l < part.first_layer + part.layers; ++l) {
    sum += layer(l);
  }
  sum.dense += part.embedding ? embedding_ : 0.0;
  if (part.head) {
    sum.dense += part.embedding && model_.tied_embeddings ? 0.0 : head_;
    const auto total = static_cast<std::int32_t>(model_.layers.size());
    for (auto l = total - static_cast<std::int32_t>(model_.mtp_layers); l < total; ++l) {
      sum += layer(l);
    }
  }
  return sum;
}

}  // namespace moesim
