// Counts of a batch without its tokens: totals of the experts first, then who sends them.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "sim/core/error.h"
#include "sim/core/rng.h"
#include "workloads/sources/expected_routing.h"

namespace moesim {
namespace {

// Mean picks per expert from which on counts are taken as (skewed) normal. Below, tokens of the
// reference are counted: at most this many per expert.
constexpr std::int64_t k_normal_picks = 16;

// Turns of unequal sources that are dealt one by one; more are dealt as shares, whose rounding then
// is nothing beside the counts.
constexpr std::int64_t k_most_turns = 65536;

// A layer's own hash, for starting points of cycles.
std::uint64_t layer_key(int layer, std::uint64_t what) {
  return mix64(mix64(0x65787065637465ULL + what) + static_cast<std::uint64_t>(layer));
}

// In [0, 1).
double uniform_of(std::uint64_t key) { return static_cast<double>(key >> 11) * 0x1p-53; }

// A step that visits all n residues and spreads neighbours.
std::size_t coprime_step(std::size_t n) {
  auto step = static_cast<std::size_t>(0.6180339887 * static_cast<double>(n));
  while (step < 1 || std::gcd(step, n) != 1) {
    ++step;
  }
  return step;
}

// Whole numbers near `wanted`, none below 0 or above `most`, that sum to `sum`: rounded after a
// common shift, in units of each one's `spread`. `first`: where the last odd picks go.
void round_to_sum(std::span<const double> wanted, std::span<const double> spread, std::int64_t most,
                  std::int64_t sum, std::size_t first, std::span<std::int32_t> rounded) {
  const auto limit = static_cast<double>(most);
  const double slope = std::accumulate(spread.begin(), spread.end(), 0.0);
  constexpr int rounds = 6;
  double shift = 0.0;
  std::int64_t now = 0;
  for (int round = 0; round < rounds; ++round) {
    now = 0;
    for (std::size_t e = 0; e < wanted.size(); ++e) {
      const double value = std::clamp(wanted[e] + shift * spread[e], 0.0, limit) + 0.5;
      rounded[e] = static_cast<std::int32_t>(value);
      now += rounded[e];
    }
    if (now == sum || !(slope > 0.0)) {
      break;
    }
    shift += static_cast<double>(sum - now) / slope;
  }
  for (std::size_t e = first; now != sum; ++e) {
    std::int32_t& place = rounded[e % rounded.size()];
    const std::int32_t step = now < sum ? 1 : -1;
    if (place + step >= 0 && place + step <= most) {
      place += step;
      now += step;
    }
  }
}

}  // namespace

ExpectedBatch::ExpectedBatch(const RoutingStatistics& statistics,
                             std::span<const SourceTokens> sources)
    : statistics_(&statistics) {
  const RouterSpec& router = statistics.router();
  const std::int64_t most = (std::int64_t{1} << 31) / router.top_k;
  for (const SourceTokens& source : sources) {
    std::int64_t tokens = 0;
    for (const SourceSequences& part : source) {
      if (part.sequences < 0 || part.tokens < 1 || part.tokens > most ||
          part.sequences > most / part.tokens || tokens_ > most) {
        throw ConfigError("expected routing",
                          "a source needs sequences >= 0 of tokens >= 1 each, and the batch fewer "
                          "than 2^31 picks per layer");
      }
      tokens += part.sequences * part.tokens;
      tokens_ += part.sequences * part.tokens;
      const auto same = std::ranges::find(classes_, part.tokens, &SourceSequences::tokens);
      if (same == classes_.end()) {
        classes_.push_back(part);
      } else {
        same->sequences += part.sequences;
      }
    }
    tokens_of_.push_back(tokens);
  }
  few_ = tokens_ * router.top_k < k_normal_picks * router.experts &&
         (!statistics.exact_ || tokens_ <= statistics.reference_tokens());
  even_ = std::ranges::all_of(tokens_of_, [&](auto n) { return n == tokens_of_.front(); });
  if (few_) {
    runs_.assign(sources.begin(), sources.end());
  } else if (!even_ && tokens_ <= k_most_turns) {
    // Each source's turns are spread evenly over the cycle.
    std::vector<std::pair<double, std::int32_t>> turns;
    for (std::size_t s = 0; s < tokens_of_.size(); ++s) {
      const double phase = uniform_of(mix64(s));
      for (std::int64_t i = 0; i < tokens_of_[s]; ++i) {
        turns.emplace_back((static_cast<double>(i) + phase) / static_cast<double>(tokens_of_[s]),
                           static_cast<std::int32_t>(s));
      }
    }
    std::ranges::sort(turns);
    for (const auto& [when, source] : turns) {
      order_.push_back(source);
    }
  }
}

void ExpectedBatch::counts(int layer, std::vector<std::int32_t>& count) const {
  const auto experts = static_cast<std::size_t>(statistics_->router().experts);
  const std::size_t sources = tokens_of_.size();
  count.resize(experts * sources);
  if (few_) {
    std::ranges::fill(count, 0);
    const auto top_k = static_cast<std::size_t>(statistics_->router().top_k);
    const auto ids = picks(layer);
    std::size_t next = 0;
    for (std::size_t s = 0; s < sources; ++s) {
      for (std::size_t i = 0; i < static_cast<std::size_t>(tokens_of_[s]) * top_k; ++i, ++next) {
        if (ids[next] != k_no_expert) {
          ++count[ids[next] * sources + s];
        }
      }
    }
    return;
  }
  std::vector<std::int32_t> totals(experts);
  realise(layer, totals);
  deal(layer, totals, count);
  scatter(layer, count);
}

// Few tokens scatter widely: of several batches of reference tokens the one that is most like the
// mean in how uneven it is.
std::vector<std::uint16_t> ExpectedBatch::picks(int layer) const {
  std::vector<std::uint16_t> best;
  if (!few_) {
    return best;
  }
  const auto picks = tokens_ * statistics_->router().top_k;
  const std::uint64_t candidates =
      !statistics_->exact_ && picks < 4 * statistics_->router().experts ? 4 : 1;
  const double wanted = mean_square(layer);
  double least = 0.0;
  for (std::uint64_t c = 0; c < candidates; ++c) {
    auto ids = picks_from(layer, statistics_->exact_ ? 0 : layer_key(layer, c << 8));
    std::vector<double> count(static_cast<std::size_t>(statistics_->router().experts));
    double square = 0.0;
    for (const std::uint16_t id : ids) {
      if (id != k_no_expert) {
        square += 2.0 * count[id] + 1.0;
        count[id] += 1.0;
      }
    }
    const double off = std::abs(square - wanted);
    if (c == 0 || off < least) {
      least = off;
      best = std::move(ids);
    }
  }
  return best;
}

double ExpectedBatch::mean_square(int layer) const {
  double variance = 0.0;
  for (const SourceSequences& part : classes_) {
    variance += static_cast<double>(part.sequences * part.tokens) *
                statistics_->overdispersion(layer, part.tokens);
  }
  double sum = 0.0;
  for (const double share : statistics_->shares(layer)) {
    const double chance = std::min(share * statistics_->router().top_k, 1.0);
    const double mean = chance * static_cast<double>(tokens_);
    sum += mean * mean + variance * chance * (1.0 - chance);
  }
  return sum;
}

// Sequences of the reference in an order of their own; a token alone is some token of one.
std::vector<std::uint16_t> ExpectedBatch::picks_from(int layer, std::uint64_t start) const {
  std::vector<std::uint16_t> ids;
  const auto top_k = static_cast<std::size_t>(statistics_->router().top_k);
  const auto length = static_cast<std::size_t>(statistics_->tokens_per_sequence_);
  const std::size_t sequences = static_cast<std::size_t>(statistics_->reference_tokens_) / length;
  const auto reference = statistics_->reference_picks(layer);
  const std::size_t step = statistics_->exact_ ? 1 : coprime_step(sequences);
  std::size_t taken = 0;
  const auto take = [&](std::size_t offset) {
    const std::size_t sequence = (start + taken * step) % sequences;
    const std::size_t round = taken / sequences;
    const std::size_t token = sequence * length + (start / sequences + round + offset) % length;
    const auto from = reference.subspan(token * top_k, top_k);
    ids.insert(ids.end(), from.begin(), from.end());
  };
  for (const SourceTokens& source : runs_) {
    for (const SourceSequences& part : source) {
      for (std::int64_t sequence = 0; sequence < part.sequences; ++sequence) {
        for (std::int64_t t = 0; t < part.tokens; ++t) {
          take(static_cast<std::size_t>(t) % length);
          // A run longer than a reference sequence goes on with the next.
          taken += static_cast<std::size_t>(t + 1) % length == 0 ? 1U : 0U;
        }
        taken += static_cast<std::size_t>(part.tokens) % length == 0 ? 0U : 1U;
      }
    }
  }
  return ids;
}

void ExpectedBatch::realise(int layer, std::span<std::int32_t> totals) const {
  const RouterSpec& router = statistics_->router();
  const std::size_t experts = totals.size();
  const auto shares = statistics_->shares(layer);
  const auto tokens = static_cast<double>(tokens_);
  const double picks = tokens * router.top_k;
  double token_variance = 0.0;
  double sequence_variance = 0.0;
  for (const SourceSequences& part : classes_) {
    const auto sequences = static_cast<double>(part.sequences);
    const auto length = static_cast<double>(part.tokens);
    token_variance += sequences * length * statistics_->token_overdispersion(layer, part.tokens);
    sequence_variance += sequences * length * length;
  }
  const double token_scale = std::sqrt(token_variance);
  const double sequence_scale = std::sqrt(sequence_variance);
  const double common = statistics_->common_[static_cast<std::size_t>(layer)];
  std::vector<double> wanted(experts);
  std::vector<double> spread(experts);
  for (std::size_t e = 0; e < experts; ++e) {
    const std::size_t cell = static_cast<std::size_t>(layer) * experts + e;
    const double mean = picks * shares[e];
    const double chance = mean / tokens;
    const double variance = (token_variance + common * sequence_variance) * chance * (1.0 - chance);
    if (statistics_->exact_ || !(variance > 0.0)) {
      wanted[e] = mean;
      continue;
    }
    const double deviation =
        token_scale * static_cast<double>(statistics_->token_deviation_[cell]) +
        sequence_scale * static_cast<double>(statistics_->sequence_deviation_[cell]);
    // The skewness that binomial counts have, and clustered ones the more (Cornish and Fisher's
    // second term).
    const double skew = (2.0 * variance / mean - 1.0) / 6.0;
    wanted[e] = mean + deviation + skew * (deviation * deviation / variance - 1.0);
    spread[e] = std::sqrt(variance);
  }
  if (statistics_->exact_) {
    double before = uniform_of(layer_key(layer, 1));
    for (std::size_t e = 0; e < experts; ++e) {
      const double after = before + wanted[e];
      totals[e] = static_cast<std::int32_t>(std::floor(after) - std::floor(before));
      before = after;
    }
    // What rounding of the sums left over.
    const auto sum = std::accumulate(totals.begin(), totals.end(), std::int64_t{0});
    totals[0] += static_cast<std::int32_t>(tokens_ * router.top_k - sum);
    return;
  }
  round_to_sum(wanted, spread, tokens_, tokens_ * router.top_k, layer_key(layer, 3) % experts,
               totals);
}

// Picks go round the sources as often as these have tokens, expert after expert. Nobody comes twice
// in a round, so that no source has more picks of an expert than tokens, and everybody has dealt
// top_k times its tokens in the end.
void ExpectedBatch::deal(int layer, std::span<const std::int32_t> totals,
                         std::span<std::int32_t> count) const {
  const std::size_t sources = tokens_of_.size();
  const std::uint64_t key = layer_key(layer, 2);
  if (even_) {
    std::vector<std::size_t> order(sources);
    const std::size_t step = coprime_step(sources);
    for (std::size_t i = 0; i < sources; ++i) {
      order[i] = (key + i * step) % sources;
    }
    std::size_t at = 0;
    for (std::size_t e = 0; e < totals.size(); ++e) {
      const auto row = count.subspan(e * sources, sources);
      const auto total = static_cast<std::size_t>(totals[e]);
      std::ranges::fill(row, static_cast<std::int32_t>(total / sources));
      for (std::size_t i = 0; i < total % sources; ++i) {
        ++row[order[at]];
        at = at + 1 == sources ? 0 : at + 1;
      }
    }
    return;
  }
  if (!order_.empty()) {
    std::ranges::fill(count, 0);
    std::size_t at = key % order_.size();
    for (std::size_t e = 0; e < totals.size(); ++e) {
      for (std::int32_t i = 0; i < totals[e]; ++i) {
        ++count[e * sources + static_cast<std::size_t>(order_[at])];
        at = at + 1 == order_.size() ? 0 : at + 1;
      }
    }
    return;
  }
  for (std::size_t s = 0; s < sources; ++s) {
    const double share = static_cast<double>(tokens_of_[s]) / static_cast<double>(tokens_);
    // Away from 0 and 1, so that the last sum is not rounded down.
    const double phase = 0.01 + 0.98 * uniform_of(mix64(key + s));
    std::int64_t dealt = 0;
    std::int64_t mine = 0;
    for (std::size_t e = 0; e < totals.size(); ++e) {
      dealt += totals[e];
      const auto now = static_cast<std::int64_t>(static_cast<double>(dealt) * share + phase);
      count[e * sources + s] = static_cast<std::int32_t>(now - mine);
      mine = now;
    }
  }
}

}  // namespace moesim
