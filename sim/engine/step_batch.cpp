#include "sim/engine/step_batch.h"

#include <algorithm>
#include <map>
#include <utility>

#include "sim/core/error.h"
#include "sim/engine/batch_parts.h"

namespace moesim {
namespace {

template <class Count>
std::int64_t sum_over(const std::vector<SequenceClass>& sequences, Count count) {
  std::int64_t sum = 0;
  for (const SequenceClass& s : sequences) {
    sum += s.count * count(s);
  }
  return sum;
}

void check(const RankBatch& rank) {
  for (const SequenceClass& s : rank.sequences) {
    ensure(s.count > 0 && s.new_tokens > 0 && s.context >= s.new_tokens,
           "sequences of a step have new tokens, which their context includes");
  }
}

// Equal sequences are one class, however they were listed.
RankBatch merged(const RankBatch& rank) {
  RankBatch classes;
  for (const SequenceClass& s : rank.sequences) {
    const auto known = std::ranges::find_if(classes.sequences, [&](const SequenceClass& c) {
      return c.phase == s.phase && c.new_tokens == s.new_tokens && c.context == s.context &&
             c.last_chunk == s.last_chunk;
    });
    if (known == classes.sequences.end()) {
      classes.sequences.push_back(s);
    } else {
      known->count += s.count;
    }
  }
  return classes;
}

}  // namespace

std::int64_t RankBatch::tokens() const {
  return sum_over(sequences, [](const SequenceClass& s) { return s.new_tokens; });
}

std::int64_t RankBatch::count() const {
  return sum_over(sequences, [](const SequenceClass&) { return std::int64_t{1}; });
}

std::int64_t RankBatch::prefill_tokens() const {
  return sum_over(sequences, [](const SequenceClass& s) {
    return s.phase == Phase::prefill ? s.new_tokens : std::int64_t{0};
  });
}

std::int64_t RankBatch::output_tokens() const {
  return sum_over(sequences, [](const SequenceClass& s) {
    return s.phase == Phase::decode ? s.new_tokens : std::int64_t{s.last_chunk ? 1 : 0};
  });
}

std::int64_t RankBatch::cached_tokens() const {
  return sum_over(sequences, [](const SequenceClass& s) { return s.context; });
}

std::vector<AttentionBatch> RankBatch::attention() const {
  std::vector<AttentionBatch> batches;
  std::vector<std::int64_t> keys;  // of all sequences, by batch
  for (const SequenceClass& s : sequences) {
    const auto known = std::ranges::find_if(batches, [&](const AttentionBatch& b) {
      return b.phase == s.phase && b.query_len == s.new_tokens &&
             (s.phase == Phase::decode || b.context == s.context);
    });
    if (known == batches.end()) {
      batches.push_back({.phase = s.phase,
                         .sequences = s.count,
                         .query_len = s.new_tokens,
                         .context = s.context});
      keys.push_back(s.count * s.context);
      continue;
    }
    std::int64_t& sum = keys[static_cast<std::size_t>(known - batches.begin())];
    sum += s.count * s.context;
    known->sequences += s.count;
    known->context = (sum + known->sequences / 2) / known->sequences;
  }
  return batches;
}

StepBatch::StepBatch(std::span<const RankBatch> ranks) {
  std::map<RankBatch, std::int32_t> known;
  for (const RankBatch& listed : ranks) {
    check(listed);
    const auto next = static_cast<std::int32_t>(kinds_.size());
    const auto [kind, fresh] = known.try_emplace(merged(listed), next);
    kind_.push_back(kind->second);
    if (fresh) {
      kinds_.push_back(kind->first);
    }
  }
}

StepBatch::StepBatch(const RankBatch& rank, int ranks)
    : kinds_{merged(rank)}, kind_(static_cast<std::size_t>(ranks), 0) {
  check(rank);
}

std::int64_t StepBatch::tokens() const {
  std::int64_t sum = 0;
  for (int r = 0; r < ranks(); ++r) {
    sum += rank(r).tokens();
  }
  return sum;
}

std::int64_t StepBatch::decode_sequences() const {
  std::int64_t sum = 0;
  for (int r = 0; r < ranks(); ++r) {
    sum += sum_over(rank(r).sequences, [](const SequenceClass& s) {
      return std::int64_t{s.phase == Phase::decode ? 1 : 0};
    });
  }
  return sum;
}

std::int64_t StepBatch::prefill_tokens() const {
  std::int64_t sum = 0;
  for (int r = 0; r < ranks(); ++r) {
    sum += rank(r).prefill_tokens();
  }
  return sum;
}

std::int64_t StepBatch::output_tokens() const {
  std::int64_t sum = 0;
  for (int r = 0; r < ranks(); ++r) {
    sum += rank(r).output_tokens();
  }
  return sum;
}

bool StepBatch::plain() const {
  if (!uniform() || kinds_.front().sequences.empty()) {
    return false;
  }
  int decode = 0;
  int prefill = 0;
  for (const SequenceClass& s : kinds_.front().sequences) {
    const bool is_decode = s.phase == Phase::decode;
    if (is_decode ? s.new_tokens != 1 : s.context != s.new_tokens) {
      return false;
    }
    (is_decode ? decode : prefill) += 1;
  }
  return decode <= 1 && prefill <= 1;
}

SequenceClass StepBatch::largest(Phase phase) const {
  SequenceClass most;
  for (const RankBatch& rank : kinds_) {
    for (const SequenceClass& s : rank.sequences) {
      if (s.phase == phase && s.count * s.new_tokens > most.count * most.new_tokens) {
        most = s;
      }
    }
  }
  return most;
}

std::vector<StepBatch> StepBatch::split(int parts, BatchCut cut) const {
  ensure(parts > 0, "a batch is cut into at least one part");
  std::vector<StepBatch> pieces(static_cast<std::size_t>(parts), *this);
  for (std::size_t kind = 0; kind < kinds_.size(); ++kind) {
    const auto bounds = part_bounds(kinds_[kind], parts, cut);
    for (std::size_t part = 0; part < pieces.size(); ++part) {
      std::vector<SequenceClass>& sequences = pieces[part].kinds_[kind].sequences;
      sequences.clear();
      for (std::size_t c = 0; c < bounds.size(); ++c) {
        append_slice(kinds_[kind].sequences[c], bounds[c][part], bounds[c][part + 1], sequences);
      }
    }
  }
  return pieces;
}

}  // namespace moesim
