// Popularity without memory: every token of every layer chooses independently, in proportion to its
// expert's weight and without repetition. What most simulators call a skewed workload.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/core/quantity_text.h"
#include "sim/core/rng.h"
#include "sim/core/thread_pool.h"
#include "workloads/sources/expected_routing.h"
#include "workloads/sources/sources.h"

namespace moesim::detail {
namespace {

// Successive draws without replacement from weights given as running sums.
class Urn {
 public:
  explicit Urn(std::span<const double> weights) {
    double sum = 0.0;
    for (const double weight : weights) {
      sum += weight;
      cumulative_.push_back(sum);
    }
  }

  [[nodiscard]] double total() const { return cumulative_.back(); }
  [[nodiscard]] std::vector<double> weights() const {
    std::vector<double> all;
    for (std::size_t i = 0; i < cumulative_.size(); ++i) {
      all.push_back(weight(i));
    }
    return all;
  }

  // An index that is not in `taken`.
  [[nodiscard]] std::uint16_t draw(std::uint64_t& key, std::span<const std::uint16_t> taken) const {
    const auto is_taken = [&](std::size_t i) { return std::ranges::find(taken, i) != taken.end(); };
    constexpr int tries = 64;
    for (int i = 0; i < tries; ++i) {
      const double at = uniform_of(mix64(key++)) * cumulative_.back();
      const auto found =
          static_cast<std::size_t>(std::ranges::upper_bound(cumulative_, at) - cumulative_.begin());
      if (found < cumulative_.size() && !is_taken(found)) {
        return static_cast<std::uint16_t>(found);
      }
    }
    return draw_from_rest(uniform_of(mix64(key++)), is_taken);
  }

 private:
  // The same law by one pass, for weights so steep that rejection would not end.
  template <class IsTaken>
  [[nodiscard]] std::uint16_t draw_from_rest(double u, const IsTaken& is_taken) const {
    double rest = 0.0;
    std::size_t last = 0;
    for (std::size_t i = 0; i < cumulative_.size(); ++i) {
      if (!is_taken(i)) {
        rest += weight(i);
        last = i;
      }
    }
    double at = u * rest;
    for (std::size_t i = 0; i < cumulative_.size(); ++i) {
      if (!is_taken(i)) {
        at -= weight(i);
        if (at < 0.0) {
          return static_cast<std::uint16_t>(i);
        }
      }
    }
    return static_cast<std::uint16_t>(last);
  }
  [[nodiscard]] double weight(std::size_t i) const {
    return cumulative_[i] - (i == 0 ? 0.0 : cumulative_[i - 1]);
  }

  std::vector<double> cumulative_;
};

struct LayerUrns {
  std::vector<Urn> experts;  // per group
  Urn groups;
};

class IidSource final : public RoutingSource {
 public:
  IidSource(const RouterSpec& router, const std::vector<std::vector<double>>& weights,
            std::string description)
      : router_(router), description_(std::move(description)) {
    const bool grouped = router.per_group_k > 0 || router.top_groups < router.groups;
    groups_ = grouped ? static_cast<std::size_t>(router.groups) : 1;
    size_ = static_cast<std::size_t>(router.experts) / groups_;
    for (const auto& layer : weights) {
      std::vector<Urn> urns;
      std::vector<double> sums;
      for (std::size_t g = 0; g < groups_; ++g) {
        urns.emplace_back(std::span(layer).subspan(g * size_, size_));
        sums.push_back(urns.back().total());
      }
      layers_.push_back({std::move(urns), Urn(sums)});
    }
  }

  [[nodiscard]] RoutedTokens batch(const BatchShape& shape) const override {
    RoutedTokens tokens = empty_batch(router_, shape);
    fill(tokens, shape.seed, shape.threads, [](std::size_t t) { return t; });
    return tokens;
  }

  [[nodiscard]] RoutedTokens route(std::span<const TokenRun> runs, std::uint64_t seed,
                                   int threads) const override {
    check_runs(runs);
    RoutedTokens tokens = empty_tokens(router_, runs);
    fill(tokens, seed, threads, [&](std::size_t t) {
      return (std::uint64_t{tokens.request[t]} << 32) | tokens.position[t];
    });
    return tokens;
  }

  [[nodiscard]] std::string describe() const override { return description_; }

 private:
  // token_key(t) distinguishes the tokens of the batch.
  template <class TokenKey>
  void fill(RoutedTokens& tokens, std::uint64_t seed, int threads,
            const TokenKey& token_key) const {
    const auto top_k = static_cast<std::size_t>(router_.top_k);
    const std::size_t count = tokens.request.size();
    const RngStreams streams(seed);
    parallel_for(layers_.size(), threads, [&](std::size_t l) {
      const std::uint64_t stream = streams.stream("routing/iid", l).bits();
      for (std::size_t t = 0; t < count; ++t) {
        choose(layers_[l], stream ^ mix64(token_key(t)),
               std::span(tokens.ids).subspan((l * count + t) * top_k, top_k));
      }
    });
  }

  void choose(const LayerUrns& urns, std::uint64_t key, std::span<std::uint16_t> ids) const {
    if (groups_ == 1) {
      for (std::size_t k = 0; k < ids.size(); ++k) {
        ids[k] = urns.experts.front().draw(key, ids.first(k));
      }
      return;
    }
    // With groups, first the token's groups, then its experts within them.
    std::vector<std::uint16_t> chosen;
    if (router_.per_group_k > 0) {
      for (std::size_t g = 0; g < groups_; ++g) {
        chosen.push_back(static_cast<std::uint16_t>(g));
      }
    } else {
      for (int g = 0; g < router_.top_groups; ++g) {
        chosen.push_back(urns.groups.draw(key, chosen));
      }
    }
    std::vector<double> weights;
    for (const auto group : chosen) {
      weights.push_back(urns.experts[group].total());
    }
    const Urn among(weights);
    std::vector<std::vector<std::uint16_t>> taken(chosen.size());
    for (std::size_t k = 0; k < ids.size(); ++k) {
      const std::size_t g = next_group(among, key, taken, k);
      const std::uint16_t expert = urns.experts[chosen[g]].draw(key, taken[g]);
      taken[g].push_back(expert);
      ids[k] = static_cast<std::uint16_t>(chosen[g] * size_ + expert);
    }
  }

  // Which of the chosen groups gives the next expert: in turn for MoGE, else in proportion to the
  // groups' weights among those that are not exhausted.
  [[nodiscard]] std::size_t next_group(const Urn& among, std::uint64_t& key,
                                       const std::vector<std::vector<std::uint16_t>>& taken,
                                       std::size_t k) const {
    if (router_.per_group_k > 0) {
      return k % taken.size();
    }
    std::vector<std::uint16_t> exhausted;
    for (std::size_t g = 0; g < taken.size(); ++g) {
      if (taken[g].size() == size_) {
        exhausted.push_back(static_cast<std::uint16_t>(g));
      }
    }
    return among.draw(key, exhausted);
  }

  [[nodiscard]] RoutingReference reference(int threads) const override;
  // Expected picks of an expert, divided by top_k: [group][expert of the group].
  [[nodiscard]] std::vector<double> layer_shares(const LayerUrns& urns) const;

  RouterSpec router_;
  std::string description_;
  std::size_t groups_;
  std::size_t size_;
  std::vector<LayerUrns> layers_;
};

// Chances to be among `draws` draws without replacement: 1 - exp(-rate weight), the rate such that
// they sum to `draws` (Rosen 1972: exact where the draws are many; within 1 % for skews in use).
std::vector<double> chances_of(std::span<const double> weights, double draws) {
  double low = 0.0;
  double high = 1.0;
  const auto sum_at = [&](double rate) {
    double sum = 0.0;
    for (const double weight : weights) {
      sum += -std::expm1(-rate * weight);
    }
    return sum;
  };
  draws = std::min(draws, static_cast<double>(weights.size()) * (1.0 - 1e-9));
  while (sum_at(high) < draws && high < 1e15) {
    high *= 4.0;
  }
  constexpr int halvings = 60;
  for (int i = 0; i < halvings; ++i) {
    const double middle = 0.5 * (low + high);
    (sum_at(middle) < draws ? low : high) = middle;
  }
  std::vector<double> chances;
  for (const double weight : weights) {
    chances.push_back(-std::expm1(-high * weight));
  }
  return chances;
}

std::vector<double> IidSource::layer_shares(const LayerUrns& urns) const {
  std::vector<double> group_weight;
  double total = 0.0;
  for (const Urn& urn : urns.experts) {
    group_weight.push_back(urn.total());
    total += urn.total();
  }
  const auto all = static_cast<double>(groups_);
  const double used =
      router_.per_group_k > 0 ? all : std::min(all, static_cast<double>(router_.top_groups));
  std::vector<double> group_chance(groups_, 1.0);
  if (used < static_cast<double>(groups_)) {
    group_chance = chances_of(group_weight, used);
  }
  std::vector<double> shares;
  for (std::size_t g = 0; g < groups_; ++g) {
    double draws = router_.per_group_k;
    if (router_.per_group_k == 0) {
      // Picks that a chosen group gets beside used - 1 others of mean weight.
      const double others =
          groups_ > 1 ? (total - group_weight[g]) / static_cast<double>(groups_ - 1) * (used - 1.0)
                      : 0.0;
      draws = router_.top_k * group_weight[g] / (group_weight[g] + others);
    }
    for (const double chance : chances_of(urns.experts[g].weights(), draws)) {
      shares.push_back(group_chance[g] * chance);
    }
  }
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  for (double& share : shares) {
    share /= sum;
  }
  return shares;
}

RoutingReference IidSource::reference(int threads) const {
  std::vector<std::vector<double>> shares(layers_.size());
  parallel_for(layers_.size(), threads,
               [&](std::size_t l) { shares[l] = layer_shares(layers_[l]); });
  std::vector<double> joined;
  for (const auto& layer : shares) {
    joined.insert(joined.end(), layer.begin(), layer.end());
  }
  std::vector<TokenRun> runs(k_reference_sequences * k_reference_tokens_each);
  for (std::size_t r = 0; r < runs.size(); ++r) {
    runs[r].request = static_cast<std::uint32_t>(r);
  }
  return {.router = router_,
          .shares = std::move(joined),
          .tokens = route(runs, k_reference_seed, threads),
          .tokens_per_sequence = 1,
          .exact = false,
          .description = describe()};
}

}  // namespace

std::unique_ptr<RoutingSource> make_iid_source(const RouterSpec& router,
                                               std::vector<std::vector<double>> weights,
                                               std::string description, const std::string& where) {
  ensure(weights.size() == static_cast<std::size_t>(router.layers), "weights for every layer");
  for (std::size_t l = 0; l < weights.size(); ++l) {
    // Experts that nobody ever chose still must be able to fill the last places.
    const double sum = std::accumulate(weights[l].begin(), weights[l].end(), 0.0);
    if (weights[l].size() != static_cast<std::size_t>(router.experts) || !(sum > 0.0)) {
      throw ConfigError(where, "layer " + std::to_string(l) + " has no loads for " +
                                   std::to_string(router.experts) + " experts");
    }
    for (auto& weight : weights[l]) {
      weight = std::max(weight, 1e-9 * sum);
    }
  }
  return std::make_unique<IidSource>(router, weights, std::move(description));
}

std::unique_ptr<RoutingSource> make_power_law_source(const RouterSpec& router, double exponent,
                                                     const std::string& where) {
  std::vector<std::vector<double>> weights;
  for (int l = 0; l < router.layers; ++l) {
    auto& layer = weights.emplace_back();
    for (int rank = 1; rank <= router.experts; ++rank) {
      layer.push_back(std::pow(static_cast<double>(rank), -exponent));
    }
    // Which experts are hot is fixed, so that batches of several steps agree on it.
    Rng rng = RngStreams(0).stream("routing/power_law", static_cast<std::uint64_t>(l));
    shuffle(std::span(layer), rng);
  }
  return make_iid_source(router, std::move(weights),
                         "power law: independent choices, popularity ~ rank^-" +
                             format_number(exponent) + ", ranks shuffled per layer",
                         where);
}

}  // namespace moesim::detail
