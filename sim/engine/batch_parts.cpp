#include "sim/engine/batch_parts.h"

#include <algorithm>

#include "sim/core/error.h"

namespace moesim {
namespace {

using Bounds = std::vector<std::vector<std::int64_t>>;

constexpr double k_least_share = 0.96;  // of an even one

std::int64_t tokens_of(const SequenceClass& s) { return s.count * s.new_tokens; }

// Sequences of a class of `count` that lie before part `part` of `parts`. What does not divide goes
// round the parts, on from the `left_over` sequences of the classes before that did not.
std::int64_t first_of_part(std::int64_t count, std::int64_t left_over, int parts, int part) {
  std::int64_t first = part * (count / parts);
  for (std::int64_t i = 0; i < count % parts; ++i) {
    first += (left_over + i) % parts < part ? 1 : 0;
  }
  return first;
}

Bounds by_sequences(const RankBatch& rank, int parts) {
  Bounds bounds;
  std::int64_t left_over = 0;
  for (const SequenceClass& s : rank.sequences) {
    auto& of_class = bounds.emplace_back();
    for (int part = 0; part <= parts; ++part) {
      of_class.push_back(first_of_part(s.count, left_over, parts, part) * s.new_tokens);
    }
    left_over += s.count % parts;
  }
  return bounds;
}

bool even(const Bounds& bounds, int parts, std::int64_t all) {
  for (std::size_t part = 0; part < static_cast<std::size_t>(parts); ++part) {
    std::int64_t tokens = 0;
    for (const auto& of_class : bounds) {
      tokens += of_class[part + 1] - of_class[part];
    }
    if (static_cast<double>(tokens * parts) < k_least_share * static_cast<double>(all)) {
      return false;
    }
  }
  return true;
}

// Contiguous shares of the tokens of those classes that `takes` accepts.
template <class Takes>
void slice(const RankBatch& rank, int parts, Takes takes, Bounds& bounds) {
  std::int64_t all = 0;
  for (const SequenceClass& s : rank.sequences) {
    all += takes(s) ? tokens_of(s) : 0;
  }
  std::int64_t before = 0;
  for (std::size_t c = 0; c < rank.sequences.size(); ++c) {
    const SequenceClass& s = rank.sequences[c];
    if (!takes(s)) {
      continue;
    }
    for (int part = 0; part <= parts; ++part) {
      const std::int64_t bound = (part * all + parts - 1) / parts;
      bounds[c][static_cast<std::size_t>(part)] =
          std::clamp<std::int64_t>(bound - before, 0, tokens_of(s));
    }
    before += tokens_of(s);
  }
}

}  // namespace

std::vector<std::vector<std::int64_t>> part_bounds(const RankBatch& rank, int parts, BatchCut cut) {
  ensure(parts > 0, "a batch is cut into at least one part");
  Bounds bounds = by_sequences(rank, parts);
  if (cut == BatchCut::tokens) {
    slice(rank, parts, [](const SequenceClass&) { return true; }, bounds);
  } else if (cut == BatchCut::balanced && rank.prefill_tokens() > 0 &&
             !even(bounds, parts, rank.tokens())) {
    slice(rank, parts, [](const SequenceClass& s) { return s.phase == Phase::prefill; }, bounds);
  }
  return bounds;
}

void append_slice(const SequenceClass& of, std::int64_t first, std::int64_t end,
                  std::vector<SequenceClass>& to) {
  const auto piece = [&](std::int64_t from, std::int64_t until, std::int64_t count) {
    SequenceClass cut = of;
    cut.count = count;
    cut.new_tokens = until - from;
    cut.context = of.context - of.new_tokens + until;
    cut.last_chunk = of.last_chunk && until == of.new_tokens;
    to.push_back(cut);
  };
  while (first < end) {
    const std::int64_t from = first % of.new_tokens;
    const std::int64_t whole = from > 0 ? 0 : (end - first) / of.new_tokens;
    if (whole > 0) {
      piece(0, of.new_tokens, whole);
      first += whole * of.new_tokens;
      continue;
    }
    const std::int64_t until = std::min(of.new_tokens, from + end - first);
    piece(from, until, 1);
    first += until - from;
  }
}

}  // namespace moesim
