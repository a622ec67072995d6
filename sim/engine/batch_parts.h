// How the sequences or tokens of a batch are dealt out to its parts.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/engine/step_batch.h"

namespace moesim {

// Token boundaries of the parts in every class: [class][0 .. parts], the tokens of a class counted
// sequence by sequence. Part m of a class is [bounds[m], bounds[m + 1]).
//
// sequences: as many sequences each; what does not divide goes round the parts from class to class.
// balanced:  the same, but if a part would have less than 96 % of an even share of the tokens,
//            prompts are cut: each part has a contiguous, even share of the prompts' tokens
//            (SGLang's two-chunk overlap, tbo-token-distribution-threshold 0.48 of two halves, from
//            memory; DeepSeek's profile-data, 2025-02-27: "the same prompt may be split between
//            them").
// tokens:    each part has a contiguous, even share of all tokens (as vLLM's ubatch slices).
std::vector<std::vector<std::int64_t>> part_bounds(const RankBatch& rank, int parts, BatchCut cut);

// The tokens [first, end) of a class, as classes of whole and cut sequences.
void append_slice(const SequenceClass& of, std::int64_t first, std::int64_t end,
                  std::vector<SequenceClass>& to);

}  // namespace moesim
