// Batches out of a generator profile.
#include <algorithm>

#include "sim/core/error.h"
#include "sim/core/thread_pool.h"
#include "workloads/sources/expected_routing.h"
#include "workloads/sources/sources.h"

namespace moesim::detail {
namespace {

std::string spec_text(const RouterSpec& router) {
  std::string text = std::to_string(router.layers) + " layers, top " +
                     std::to_string(router.top_k) + " of " + std::to_string(router.experts);
  if (router.per_group_k > 0) {
    text += ", " + std::to_string(router.per_group_k) + " in each of " +
            std::to_string(router.groups) + " groups";
  } else if (router.top_groups < router.groups) {
    text += ", " + std::to_string(router.top_groups) + " of " + std::to_string(router.groups) +
            " groups";
  }
  return text;
}

// Groups that limit nothing are no groups.
RouterSpec without_idle_groups(RouterSpec router) {
  if (router.per_group_k == 0 && router.top_groups == router.groups) {
    router.groups = 1;
    router.top_groups = 1;
  }
  if (router.per_group_k > 0) {
    router.top_groups = router.groups;
  }
  return router;
}

class GeneratorSource final : public RoutingSource {
 public:
  explicit GeneratorSource(GeneratorProfile profile) : generator_(std::move(profile), 2) {}

  [[nodiscard]] RoutedTokens batch(const BatchShape& shape) const override {
    RoutedTokens tokens = generator_.route(batch_runs(shape), shape.seed, shape.threads);
    const std::int64_t routed = routed_per_rank(shape);
    if (routed > 0) {
      tokens.token_weight =
          static_cast<double>(shape.tokens_per_rank) / static_cast<double>(routed);
    }
    return tokens;
  }

  [[nodiscard]] RoutedTokens route(std::span<const TokenRun> runs, std::uint64_t seed,
                                   int threads) const override {
    check_runs(runs);
    return generator_.route(runs, seed, threads, ContextStart::continued);
  }

  [[nodiscard]] std::vector<std::string> warnings(const BatchShape& /*shape*/) const override {
    const GeneratorProfile& profile = generator_.profile();
    return profile.name.starts_with("scaled:")
               ? std::vector{"routing is " + profile.source +
                             ": its unevenness and affinity are assumptions"}
               : std::vector<std::string>();
  }

  [[nodiscard]] std::string describe() const override {
    const GeneratorProfile& profile = generator_.profile();
    return "generated from profile " + profile.name + " (" + profile.source + "; " + profile.date +
           "); prefill: whole prompts rank by rank; decode: one token of each request";
  }

 private:
  [[nodiscard]] RoutingReference reference(int threads) const override {
    const GeneratorProfile& profile = generator_.profile();
    const RouterSpec& router = profile.router;
    const auto experts = static_cast<std::size_t>(router.experts);
    const auto layers = static_cast<std::size_t>(router.layers);
    std::vector<double> shares(layers * experts);
    parallel_for(layers, threads, [&](std::size_t l) {
      std::ranges::copy(target_loads(profile, static_cast<int>(l)),
                        shares.begin() + static_cast<std::ptrdiff_t>(l * experts));
    });
    return {.router = router,
            .shares = std::move(shares),
            .tokens = generator_.route(reference_runs(), k_reference_seed, threads),
            .tokens_per_sequence = k_reference_tokens_each,
            .exact = false,
            .description = "profile " + profile.name + ": its loads, and picks of " +
                           std::to_string(k_reference_sequences * k_reference_tokens_each) +
                           " generated tokens"};
  }

  RoutingGenerator generator_;
};

}  // namespace

std::unique_ptr<RoutingSource> make_generator_source(const RouterSpec& router,
                                                     GeneratorProfile profile,
                                                     const std::string& where) {
  if (without_idle_groups(profile.router) != without_idle_groups(router)) {
    throw ConfigError(where, "profile " + profile.name + " is of " + spec_text(profile.router) +
                                 "; the model has " + spec_text(router) +
                                 ": take a profile of this model, or \"scaled:" + profile.name +
                                 "\", which scales that one to the model's router");
  }
  return std::make_unique<GeneratorSource>(std::move(profile));
}

}  // namespace moesim::detail
