#include "sim/engine/exchange/expected_traffic.h"

#include <algorithm>

#include "sim/core/error.h"
#include "sim/core/thread_pool.h"
#include "sim/engine/exchange/expected_distinct.h"

namespace moesim {
namespace {

std::size_t as_size(std::int64_t value) { return static_cast<std::size_t>(value); }

// Sequences of a rank from which units take tokens in turn.
class SequenceStream {
 public:
  explicit SequenceStream(const RankBatch& rank) {
    for (const auto& s : rank.sequences) {
      left_.push_back({s.count, s.new_tokens});
    }
    std::ranges::reverse(left_);
  }

  SourceTokens take(std::int64_t tokens) {
    SourceTokens taken;
    while (tokens > 0) {
      ensure(!left_.empty(), "a rank's units share its tokens");
      auto [sequences, length] = left_.back();
      left_.pop_back();
      if (const std::int64_t whole = std::min(sequences, tokens / length); whole > 0) {
        taken.push_back({whole, length});
        tokens -= whole * length;
        sequences -= whole;
      }
      if (sequences > 0 && tokens > 0) {  // less than one sequence
        taken.push_back({1, tokens});
        keep(sequences - 1, length);
        keep(1, length - tokens);
        tokens = 0;
      } else {
        keep(sequences, length);
      }
    }
    return taken;
  }

 private:
  struct Left {
    std::int64_t sequences = 0;
    std::int64_t tokens = 1;
  };
  void keep(std::int64_t sequences, std::int64_t tokens) {
    if (sequences > 0) {
      left_.push_back({sequences, tokens});
    }
  }

  std::vector<Left> left_;  // the next one last
};

bool alike(const std::vector<SourceTokens>& a, const std::vector<SourceTokens>& b) {
  return std::ranges::equal(a, b, [](const SourceTokens& x, const SourceTokens& y) {
    return std::ranges::equal(x, y, [](const auto& p, const auto& q) {
      return p.sequences == q.sequences && p.tokens == q.tokens;
    });
  });
}

TokenLayout layout_of(const ExpectedBatch& batch) {
  TokenLayout layout;
  layout.first = {0};
  for (int s = 0; s < batch.sources(); ++s) {
    layout.first.push_back(layout.first.back() + batch.tokens_of(s));
  }
  return layout;
}

// One layer of one group.
class ExpectedLayer {
 public:
  ExpectedLayer(const RoutingStatistics& statistics, const ReplicaChoice& replicas, int layer,
                bool needs_distinct, DistinctShares& shares)
      : statistics_(statistics),
        replicas_(replicas),
        layer_(layer),
        needs_distinct_(needs_distinct),
        shares_(shares) {}

  void fill(const ExpectedBatch& batch, LayerTraffic& out) {
    counter_.begin(replicas_, needs_distinct_, out);
    if (needs_distinct_ && batch.few()) {
      const std::vector<std::uint16_t> ids = batch.picks(layer_);
      counter_.add({ids, statistics_.router().top_k, replicas_.experts()}, layout_of(batch), 1);
      counter_.finish();
      return;
    }
    counts_.ranks = replicas_.ranks();
    counts_.experts = replicas_.experts();
    batch.counts(layer_, counts_.count);
    counts_.count.resize(as_size(counts_.experts) * as_size(counts_.ranks));  // FFN experts first
    counter_.add(counts_, 1);
    counter_.finish();
    if (needs_distinct_) {
      if (shares_.node.empty()) {
        shares_ = distinct_shares(
            {statistics_.reference_picks(layer_), statistics_.router().top_k, replicas_.experts()},
            replicas_);
      }
      expect_distinct(counts_, replicas_, shares_, out.distinct);
    }
  }

 private:
  const RoutingStatistics& statistics_;
  const ReplicaChoice& replicas_;
  int layer_;
  bool needs_distinct_;
  TrafficCounter counter_;
  ExpertCounts counts_;
  DistinctShares& shares_;  // nothing until it is needed
};

}  // namespace

std::vector<SourceTokens> unit_sources(const StepBatch& batch, const RankMap& ranks, int group) {
  const int sharing = ranks.units_per_attention_rank();
  const int first = group * ranks.units();
  std::vector<SourceTokens> sources;
  for (int unit = first - first % sharing; unit < first + ranks.units(); unit += sharing) {
    const RankBatch& rank = batch.rank(unit / sharing);
    const TokenLayout layout = unit_layout({{0, rank.tokens()}}, sharing);
    SequenceStream stream(rank);
    for (int i = 0; i < sharing; ++i) {
      SourceTokens tokens = stream.take(layout.tokens_of(i));
      if (unit + i >= first && unit + i < first + ranks.units()) {
        sources.push_back(std::move(tokens));
      }
    }
  }
  return sources;
}

StepTraffic expected_traffic(const RoutingStatistics& statistics, const StepBatch& batch,
                             const RankMap& ranks, std::span<const ReplicaChoice> replicas,
                             bool needs_distinct, int threads,
                             std::vector<DistinctShares>& shares) {
  const auto groups = as_size(ranks.expert_groups());
  std::vector<std::vector<SourceTokens>> sources;  // that differ
  std::vector<ExpectedBatch> batches;
  std::vector<std::size_t> batch_of_group(groups);
  StepTraffic traffic;
  for (std::size_t g = 0; g < groups; ++g) {
    std::vector<SourceTokens> own = unit_sources(batch, ranks, static_cast<int>(g));
    const auto known = std::ranges::find_if(
        sources, [&](const std::vector<SourceTokens>& other) { return alike(own, other); });
    batch_of_group[g] = static_cast<std::size_t>(known - sources.begin());
    if (known == sources.end()) {
      batches.emplace_back(statistics, own);
      sources.push_back(std::move(own));
    }
    traffic.home.push_back(layout_of(batches[batch_of_group[g]]));
  }
  traffic.layers.assign(replicas.size(), std::vector<LayerTraffic>(groups));
  shares.resize(replicas.size());
  parallel_for(replicas.size(), threads, [&](std::size_t l) {
    ExpectedLayer layer(statistics, replicas[l], static_cast<int>(l), needs_distinct, shares[l]);
    std::vector<std::size_t> done;  // first group of each batch
    for (std::size_t g = 0; g < groups; ++g) {
      LayerTraffic& out = traffic.layers[l][g];
      if (batch_of_group[g] < done.size()) {
        out = traffic.layers[l][done[batch_of_group[g]]];
        continue;
      }
      layer.fill(batches[batch_of_group[g]], out);
      done.push_back(g);
    }
  });
  return traffic;
}

}  // namespace moesim
