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

// One class of equal sequences of a rank, cut into parts. A sample of its tokens is cut at the same
// shares.
struct Segment {
  int rank = 0;
  std::int64_t first = 0;            // token in the drawn list
  std::int64_t tokens = 0;           // drawn, of all its sequences
  std::vector<std::int64_t> bounds;  // see part_bounds

  [[nodiscard]] std::int64_t first_of(int part) const {
    const std::int64_t all = std::max<std::int64_t>(1, bounds.back());
    return first + bounds[static_cast<std::size_t>(part)] * tokens / all;
  }
};

std::vector<RoutedPart> cut(RoutedTokens&& tokens, std::span<const Segment> segments,
                            const RankMap& ranks, int count) {
  std::vector<RoutedPart> parts;
  for (int m = 0; m < count; ++m) {
    std::vector<Range> ranges;
    TokenLayout attention;
    attention.first.assign(static_cast<std::size_t>(ranks.attention_ranks()) + 1, 0);
    for (const Segment& s : segments) {
      ranges.push_back({s.first_of(m), s.first_of(m + 1)});
      attention.first[static_cast<std::size_t>(s.rank) + 1] += s.first_of(m + 1) - s.first_of(m);
    }
    for (std::size_t r = 1; r < attention.first.size(); ++r) {
      attention.first[r] += attention.first[r - 1];
    }
    parts.push_back({count == 1 ? std::move(tokens) : selected(tokens, ranges),
                     unit_layout(attention, ranks.units_per_attention_rank())});
  }
  return parts;
}

std::vector<Segment> plain_segments(int ranks, std::int64_t per_rank,
                                    const std::vector<std::int64_t>& bounds) {
  std::vector<Segment> segments;
  for (int r = 0; r < ranks; ++r) {
    segments.push_back({r, r * per_rank, per_rank, bounds});
  }
  return segments;
}

std::vector<Segment> run_segments(const StepBatch& batch, BatchParts parts) {
  std::vector<std::vector<std::vector<std::int64_t>>> of_kind;
  for (const RankBatch& kind : batch.kinds()) {
    of_kind.push_back(part_bounds(kind, parts.count, parts.cut));
  }
  std::vector<Segment> segments;
  std::int64_t token = 0;
  for (int r = 0; r < batch.ranks(); ++r) {
    for (const auto& bounds : of_kind[static_cast<std::size_t>(batch.kind_of(r))]) {
      segments.push_back({r, token, bounds.back(), bounds});
      token += bounds.back();
    }
  }
  return segments;
}

}  // namespace

std::vector<std::vector<RoutedPart>> draw_batch(const RoutingSource& source, const StepBatch& batch,
                                                const RankMap& ranks, BatchParts parts,
                                                std::uint64_t seed, int threads) {
  std::vector<std::vector<RoutedPart>> drawn(static_cast<std::size_t>(parts.count));
  const auto keep = [&](std::vector<RoutedPart> cut_tokens) {
    for (std::size_t m = 0; m < cut_tokens.size(); ++m) {
      drawn[m].push_back(std::move(cut_tokens[m]));
    }
  };
  if (batch.plain()) {
    const auto bounds = part_bounds(batch.kinds().front(), parts.count, parts.cut);
    std::size_t of_class = 0;
    for (const BatchShape& shape : plain_shapes(batch, seed, threads)) {
      RoutedTokens tokens = source.batch(shape);
      const std::int64_t per_rank = tokens.tokens() / shape.ranks;
      keep(cut(std::move(tokens), plain_segments(shape.ranks, per_rank, bounds[of_class++]), ranks,
               parts.count));
    }
    return drawn;
  }
  keep(cut(source.route(runs_of(batch), seed, threads), run_segments(batch, parts), ranks,
           parts.count));
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
