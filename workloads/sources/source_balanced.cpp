// Every expert equally often, and a token's experts far apart: the load that balancing can hope
// for.
#include <numeric>

#include "sim/core/thread_pool.h"
#include "workloads/sources/expected_routing.h"
#include "workloads/sources/sources.h"

namespace moesim::detail {
namespace {

// A step that visits all n residues and spreads neighbours: coprime to n, near n / golden ratio.
std::size_t spreading_step(std::size_t n) {
  auto step = static_cast<std::size_t>(0.6180339887 * static_cast<double>(n));
  while (step < 1 || std::gcd(step, n) != 1) {
    ++step;
  }
  return step;
}

class BalancedSource final : public RoutingSource {
 public:
  explicit BalancedSource(const RouterSpec& router) : router_(router) {
    const bool grouped = router.per_group_k > 0 || router.top_groups < router.groups;
    groups_ = grouped ? static_cast<std::size_t>(router.groups) : 1;
    used_groups_ = router.per_group_k > 0 ? groups_
                   : grouped              ? static_cast<std::size_t>(router.top_groups)
                                          : 1;
  }

  [[nodiscard]] RoutedTokens batch(const BatchShape& shape) const override {
    RoutedTokens tokens = empty_batch(router_, shape);
    fill(tokens, shape.threads);
    return tokens;
  }

  [[nodiscard]] RoutedTokens route(std::span<const TokenRun> runs, std::uint64_t /*seed*/,
                                   int threads) const override {
    check_runs(runs);
    RoutedTokens tokens = empty_tokens(router_, runs);
    fill(tokens, threads);
    return tokens;
  }

  [[nodiscard]] std::string describe() const override {
    return "balanced: every expert equally often, round robin with a spreading step";
  }

 private:
  void fill(RoutedTokens& tokens, int threads) const {
    parallel_for(static_cast<std::size_t>(router_.layers), threads,
                 [&](std::size_t l) { fill_layer(l, tokens); });
  }

  // Token t uses the groups t, t+1, ..., and takes each group's next expert in turn. A token's
  // choices within a group follow each other in the round, so they are distinct.
  void fill_layer(std::size_t layer, RoutedTokens& tokens) const {
    const auto top_k = static_cast<std::size_t>(router_.top_k);
    const std::size_t size = static_cast<std::size_t>(router_.experts) / groups_;
    const std::size_t step = spreading_step(size);
    // Layers differ, as they do in life: otherwise a rank would be first in line in all of them.
    std::vector<std::size_t> next(groups_, layer * 7);
    const std::size_t count = tokens.request.size();
    for (std::size_t t = 0; t < count; ++t) {
      for (std::size_t k = 0; k < top_k; ++k) {
        const std::size_t group = (t + layer + k % used_groups_) % groups_;
        const std::size_t expert = group * size + next[group]++ * step % size;
        tokens.ids[(layer * count + t) * top_k + k] = static_cast<std::uint16_t>(expert);
      }
    }
  }

  [[nodiscard]] RoutingReference reference(int threads) const override {
    const auto cells =
        static_cast<std::size_t>(router_.layers) * static_cast<std::size_t>(router_.experts);
    std::vector<TokenRun> runs(2 * static_cast<std::size_t>(router_.experts));
    return {.router = router_,
            .shares = std::vector<double>(cells, 1.0 / router_.experts),
            .tokens = route(runs, 0, threads),
            .tokens_per_sequence = 1,
            .exact = true,
            .description = describe()};
  }

  RouterSpec router_;
  std::size_t groups_;
  std::size_t used_groups_;
};

}  // namespace

std::unique_ptr<RoutingSource> make_balanced_source(const RouterSpec& router) {
  return std::make_unique<BalancedSource>(router);
}

}  // namespace moesim::detail
