// What a step works on: for every attention data-parallel rank, classes of equal sequences. Ranks
// may differ, or idle; prompts may come in pieces; prefill and decode may stand side by side.
#pragma once

#include <compare>
#include <cstdint>
#include <span>
#include <vector>

#include "models/operators/operators.h"

namespace moesim {

struct SequenceClass {
  Phase phase = Phase::decode;
  std::int64_t count = 0;       // sequences
  std::int64_t new_tokens = 1;  // of each in this step
  std::int64_t context = 0;     // keys of each, the new tokens included
  bool last_chunk = true;       // prefill: the prompt ends here; false: more of it is to come

  friend auto operator<=>(const SequenceClass&, const SequenceClass&) = default;
};

struct RankBatch {
  std::vector<SequenceClass> sequences;

  [[nodiscard]] std::int64_t tokens() const;
  [[nodiscard]] std::int64_t count() const;  // sequences
  [[nodiscard]] std::int64_t prefill_tokens() const;
  // A decoding sequence puts out its new tokens, a prompt's last chunk its first one.
  [[nodiscard]] std::int64_t output_tokens() const;
  [[nodiscard]] std::int64_t cached_tokens() const;  // keys of all sequences
  // What attention kernels see: one batch of all decoding sequences with as many new tokens, at
  // their mean context (a decode kernel reads every key once), and one per class of prompts.
  [[nodiscard]] std::vector<AttentionBatch> attention() const;

  friend auto operator<=>(const RankBatch&, const RankBatch&) = default;
};

// What parts of a batch are: batch_parts.h.
enum class BatchCut { sequences, balanced, tokens };

class StepBatch {
 public:
  StepBatch() = default;
  // Throws InvariantError for counts or tokens below 1 and for a context shorter than the new
  // tokens. Classes without sequences are left out by the caller.
  explicit StepBatch(std::span<const RankBatch> ranks);
  // The same for every rank.
  StepBatch(const RankBatch& rank, int ranks);

  [[nodiscard]] int ranks() const { return static_cast<int>(kind_.size()); }
  // Ranks of one kind have the same batch.
  [[nodiscard]] std::span<const RankBatch> kinds() const { return kinds_; }
  [[nodiscard]] int kind_of(int rank) const { return kind_[static_cast<std::size_t>(rank)]; }
  [[nodiscard]] const RankBatch& rank(int rank) const {
    return kinds_[static_cast<std::size_t>(kind_of(rank))];
  }
  [[nodiscard]] bool uniform() const { return kinds_.size() == 1; }
  // Every rank has the same: one class of decoding sequences with one new token each, one class of
  // whole prompts, or one of each.
  [[nodiscard]] bool plain() const;

  // Of all ranks together.
  [[nodiscard]] std::int64_t tokens() const;
  [[nodiscard]] std::int64_t decode_sequences() const;
  [[nodiscard]] std::int64_t prefill_tokens() const;
  [[nodiscard]] std::int64_t output_tokens() const;

  // The class with most new tokens of the phase, of any rank; no sequences if there is none.
  [[nodiscard]] SequenceClass largest(Phase phase) const;

  // Cut into parts of nearly equally many sequences or tokens, the larger parts first: what
  // micro-batches work on. Part m of rank r holds what lies in each class behind the parts before;
  // a prompt that is cut is a chunk in one part and a longer context in the next.
  [[nodiscard]] std::vector<StepBatch> split(int parts, BatchCut cut = BatchCut::sequences) const;

  // Prefill only: so many of each rank's tokens are routed, evenly strided, and each stands for
  // equally many; 0: all.
  std::int64_t routing_sample = 0;

 private:
  std::vector<RankBatch> kinds_;
  std::vector<std::int32_t> kind_;  // by rank
};

}  // namespace moesim
