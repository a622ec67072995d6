#include "sim/engine/step_draw.h"

#include <algorithm>

#include "sim/engine/batch_parts.h"

namespace moesim {
namespace {

TokenPhase phase_of(const SequenceClass& s) {
  return s.phase == Phase::decode ? TokenPhase::decode : TokenPhase::prefill;
}

// Decode first, then prefill: drawn separately and joined rank by rank.
std::vector<BatchShape> plain_shapes(const StepBatch& batch, std::uint64_t seed, int threads) {
  std::vector<BatchShape> shapes;
  for (const SequenceClass& s : batch.kinds().front().sequences) {
    const bool decode = s.phase == Phase::decode;
    shapes.push_back({.ranks = batch.ranks(),
                      .tokens_per_rank = s.count * s.new_tokens,
                      .tokens_per_request = s.new_tokens,
                      .context = decode ? s.context : 0,
                      .phase = phase_of(s),
                      .sample_tokens_per_rank = decode ? 0 : batch.routing_sample,
                      .seed = seed,
                      .threads = threads});
  }
  return shapes;
}

// Requests are numbered rank by rank, in the order of the rank's classes.
std::vector<TokenRun> runs_of(const StepBatch& batch) {
  std::vector<TokenRun> runs;
  std::uint32_t request = 0;
  for (int r = 0; r < batch.ranks(); ++r) {
    for (const SequenceClass& s : batch.rank(r).sequences) {
      for (std::int64_t i = 0; i < s.count; ++i) {
        runs.push_back({.request = request++,
                        .first_position = static_cast<std::uint32_t>(s.context - s.new_tokens),
                        .count = static_cast<std::uint32_t>(s.new_tokens),
                        .phase = phase_of(s),
                        .kept = {}});
      }
    }
  }
  return runs;
}

// Tokens [first, end) of every rank, by class of sequences.
struct Range {
  std::int64_t first = 0;
  std::int64_t end = 0;
};

RoutedTokens selected(const RoutedTokens& all, std::span<const Range> ranges) {
  RoutedTokens some;
  some.layers = all.layers;
  some.experts = all.experts;
  some.top_k = all.top_k;
  some.ranked = all.ranked;
  some.token_weight = all.token_weight;
  const auto copy = [&](const auto& from, auto& to, std::int64_t offset, std::int64_t width) {
    for (const Range& range : ranges) {
      if (!from.empty()) {
        to.insert(to.end(), from.begin() + (offset + range.first) * width,
                  from.begin() + (offset + range.end) * width);
      }
    }
  };
  for (int l = 0; l < all.layers; ++l) {
    const std::int64_t offset = l * all.tokens();
    copy(all.ids, some.ids, offset, all.top_k);
    copy(all.weights, some.weights, offset, all.top_k);
  }
  copy(all.token_id, some.token_id, 0, 1);
  copy(all.request, some.request, 0, 1);
  copy(all.position, some.position, 0, 1);
  copy(all.phase, some.phase, 0, 1);
  return some;
}

// One class of equal sequences per rank, cut into micro-batches. Sampling keeps sequences whole
// only if it takes as many tokens of each.
struct Segment {
  int rank = 0;
  std::int64_t first = 0;  // token in the drawn list
  std::int64_t sequences = 0;
  std::int64_t tokens = 0;     // drawn, of all its sequences
  std::int64_t left_over = 0;  // see first_of_part
};

std::vector<RoutedPart> cut(RoutedTokens&& tokens, std::span<const Segment> segments,
                            const RankMap& ranks, int micro_batches) {
  std::vector<RoutedPart> parts;
  for (int m = 0; m < micro_batches; ++m) {
    std::vector<Range> ranges;
    TokenLayout attention;
    attention.first.assign(static_cast<std::size_t>(ranks.attention_ranks()) + 1, 0);
    for (const Segment& s : segments) {
      const auto token = [&](int part) {
        return s.first + first_of_part(s.sequences, s.left_over, micro_batches, part) * s.tokens /
                             std::max<std::int64_t>(1, s.sequences);
      };
      ranges.push_back({token(m), token(m + 1)});
      attention.first[static_cast<std::size_t>(s.rank) + 1] += token(m + 1) - token(m);
    }
    for (std::size_t r = 1; r < attention.first.size(); ++r) {
      attention.first[r] += attention.first[r - 1];
    }
    parts.push_back({micro_batches == 1 ? std::move(tokens) : selected(tokens, ranges),
                     unit_layout(attention, ranks.units_per_attention_rank())});
  }
  return parts;
}

std::vector<Segment> plain_segments(const BatchShape& shape, std::int64_t per_rank,
                                    std::int64_t left_over) {
  std::vector<Segment> segments;
  for (int r = 0; r < shape.ranks; ++r) {
    segments.push_back(
        {r, r * per_rank, shape.tokens_per_rank / shape.tokens_per_request, per_rank, left_over});
  }
  return segments;
}

std::vector<Segment> run_segments(const StepBatch& batch, int micro_batches) {
  std::vector<Segment> segments;
  std::int64_t token = 0;
  for (int r = 0; r < batch.ranks(); ++r) {
    std::int64_t left_over = 0;
    for (const SequenceClass& s : batch.rank(r).sequences) {
      segments.push_back({r, token, s.count, s.count * s.new_tokens, left_over});
      token += s.count * s.new_tokens;
      left_over += s.count % micro_batches;
    }
  }
  return segments;
}

}  // namespace

std::vector<std::vector<RoutedPart>> draw_batch(const RoutingSource& source, const StepBatch& batch,
                                                const RankMap& ranks, int micro_batches,
                                                std::uint64_t seed, int threads) {
  std::vector<std::vector<RoutedPart>> drawn(static_cast<std::size_t>(micro_batches));
  const auto keep = [&](std::vector<RoutedPart> parts) {
    for (std::size_t m = 0; m < parts.size(); ++m) {
      drawn[m].push_back(std::move(parts[m]));
    }
  };
  if (batch.plain()) {
    std::int64_t left_over = 0;
    for (const BatchShape& shape : plain_shapes(batch, seed, threads)) {
      RoutedTokens tokens = source.batch(shape);
      const std::int64_t per_rank = tokens.tokens() / shape.ranks;
      keep(
          cut(std::move(tokens), plain_segments(shape, per_rank, left_over), ranks, micro_batches));
      left_over += shape.tokens_per_rank / shape.tokens_per_request % micro_batches;
    }
    return drawn;
  }
  keep(cut(source.route(runs_of(batch), seed, threads), run_segments(batch, micro_batches), ranks,
           micro_batches));
  return drawn;
}

std::vector<std::string> routing_warnings(const RoutingSource& source, const StepBatch& batch) {
  std::vector<std::string> warnings;
  if (batch.plain()) {
    for (const BatchShape& shape : plain_shapes(batch, 0, 1)) {
      for (std::string& text : source.warnings(shape)) {
        warnings.push_back(std::move(text));
      }
    }
  }
  if (batch.routing_sample > 0) {
    warnings.push_back(std::to_string(batch.routing_sample) + " of each rank's " +
                       std::to_string(batch.kinds().front().tokens()) +
                       " tokens are routed, the others counted alike");
  }
  return warnings;
}

}  // namespace moesim
