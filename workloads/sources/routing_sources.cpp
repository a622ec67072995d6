// What all routing sources share, and the table of them.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <utility>

#include "sim/core/error.h"
#include "workloads/generator/profile_scaled.h"
#include "workloads/sources/expected_routing.h"
#include "workloads/sources/sources.h"

namespace moesim {
namespace {

constexpr std::string_view k_profile_prefix = "profile:";
constexpr std::string_view k_scaled_prefix = "scaled:";

double parse_exponent(const std::string& text, const std::string& where) {
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  constexpr double steepest = 4.0;
  if (error != std::errc{} || end != text.data() + text.size() || !(value >= 0.0) ||
      value > steepest) {
    throw ConfigError(where, "\"power_law:" + text +
                                 "\": the exponent must be a number from 0 to 4, such as "
                                 "\"power_law:0.5\"");
  }
  return value;
}

}  // namespace

std::int64_t routed_per_rank(const BatchShape& shape) {
  const bool sampled =
      shape.sample_tokens_per_rank > 0 && shape.sample_tokens_per_rank < shape.tokens_per_rank;
  return sampled ? shape.sample_tokens_per_rank : shape.tokens_per_rank;
}

std::int64_t sampled_index(const BatchShape& shape, std::int64_t i) {
  return i * shape.tokens_per_rank / std::max<std::int64_t>(routed_per_rank(shape), 1);
}

std::shared_ptr<const RoutingStatistics> RoutingSource::statistics(int threads) const {
  std::call_once(statistics_once_, [&] {
    statistics_ = std::make_shared<const RoutingStatistics>(reference(threads), threads);
  });
  return statistics_;
}

std::vector<std::string> RoutingSource::warnings(const BatchShape& /*shape*/) const { return {}; }

std::string_view routing_path(std::string_view spec) {
  constexpr std::string_view trace = ".moetrace";
  for (const std::string_view profile : {k_profile_prefix, k_scaled_prefix}) {
    if (spec.starts_with(profile)) {
      return spec.ends_with(".json") ? spec.substr(profile.size()) : std::string_view();
    }
  }
  if (spec.ends_with("]")) {
    const std::size_t range = spec.rfind(".moetrace[");
    return range == std::string_view::npos ? std::string_view()
                                           : spec.substr(0, range + trace.size());
  }
  return spec.ends_with(trace) ? spec : std::string_view();
}

namespace {

// "F.moetrace[0:0.5]" -> "F.moetrace" and its first half.
std::pair<std::string, detail::TraceRange> trace_and_range(const std::string& spec,
                                                           const std::string& where) {
  const std::size_t bracket = spec.rfind(".moetrace[");
  if (bracket == std::string::npos || !spec.ends_with("]")) {
    return {spec, {}};
  }
  const std::size_t open = spec.find('[', bracket);
  const std::string text = spec.substr(open + 1, spec.size() - open - 2);
  detail::TraceRange range;
  const char* const end = text.data() + text.size();
  const auto [colon, bad_from] = std::from_chars(text.data(), end, range.from);
  bool good = bad_from == std::errc() && colon != end && *colon == ':';
  if (good) {
    const auto [rest, bad_to] = std::from_chars(colon + 1, end, range.to);
    good = bad_to == std::errc() && rest == end;
  }
  if (!good || !(range.from >= 0.0) || !(range.from < range.to) || !(range.to <= 1.0)) {
    throw ConfigError(where, "\"[" + text +
                                 "]\" is no range of a trace; needs shares of its "
                                 "requests with 0 <= from < to <= 1, \"[0:0.5]\"");
  }
  return {spec.substr(0, open), range};
}

}  // namespace

std::unique_ptr<RoutingSource> make_routing_source(const std::string& spec,
                                                   const RouterSpec& router,
                                                   const std::vector<std::string>& profile_dirs,
                                                   const std::string& where) {
  constexpr std::string_view power_law = "power_law:";
  check_router(router, where);
  if (spec == "balanced") {
    return detail::make_balanced_source(router);
  }
  if (spec.starts_with(power_law)) {
    return detail::make_power_law_source(
        router, parse_exponent(spec.substr(power_law.size()), where), where);
  }
  if (spec.starts_with(k_profile_prefix)) {
    return detail::make_generator_source(
        router, load_profile(spec.substr(k_profile_prefix.size()), profile_dirs, where), where);
  }
  if (spec.starts_with(k_scaled_prefix)) {
    const GeneratorProfile base =
        load_profile(spec.substr(k_scaled_prefix.size()), profile_dirs, where);
    return detail::make_generator_source(router, scaled_profile(base, router, where), where);
  }
  const auto [path, range] = trace_and_range(spec, where);
  if (path.ends_with(".moetrace")) {
    if (!std::filesystem::is_regular_file(path)) {
      throw ConfigError(where, "the trace \"" + path + "\" does not exist");
    }
    return detail::make_replay_source(router, path, range, where);
  }
  throw ConfigError(where, "\"" + spec +
                               "\" is no routing; needs \"balanced\", \"power_law:A\", "
                               "\"profile:NAME\", \"scaled:NAME\" (another model's profile) or the "
                               "path of a .moetrace file");
}

namespace detail {

std::vector<TokenRun> reference_runs() {
  // Distances within the two ends of each sequence, which are far from each other.
  constexpr std::array<std::array<std::uint32_t, 2>, 4> near = {
      {{1, 3}, {2, 8}, {4, 16}, {32, 64}}};
  constexpr std::uint32_t far = 256;
  std::vector<TokenRun> runs;
  for (std::uint32_t r = 0; r < k_reference_sequences; ++r) {
    const auto& [first, second] = near[r % near.size()];
    runs.push_back({.request = r,
                    .first_position = 1,
                    .count = far + second + 1,
                    .phase = TokenPhase::decode,
                    .kept = {0, first, far, far + second}});
  }
  return runs;
}

void check_shape(const BatchShape& shape) {
  constexpr std::int64_t most = std::int64_t{1} << 31;
  const std::string where = "batch of routed tokens";
  if (shape.ranks < 1 || shape.tokens_per_rank < 0 || shape.tokens_per_request < 1 ||
      shape.sample_tokens_per_rank < 0 || shape.context < 0 || shape.context >= most) {
    throw ConfigError(where,
                      "needs ranks >= 1, tokens_per_rank >= 0, tokens_per_request >= 1, a "
                      "sample >= 0 and a context of 0 to 2^31");
  }
  if (shape.tokens_per_rank > most / shape.ranks) {
    throw ConfigError(where, std::to_string(shape.ranks) + " ranks x " +
                                 std::to_string(shape.tokens_per_rank) +
                                 " tokens; at most 2^31 tokens are possible");
  }
}

std::vector<TokenRun> batch_runs(const BatchShape& shape) {
  check_shape(shape);
  const bool prefill = shape.phase == TokenPhase::prefill;
  const std::int64_t length = prefill ? shape.tokens_per_request : 1;
  const std::int64_t routed = routed_per_rank(shape);
  std::vector<TokenRun> runs;
  std::uint32_t request = 0;
  for (int rank = 0; rank < shape.ranks; ++rank) {
    std::int64_t next = 0;  // of the rank's routed tokens
    for (std::int64_t first = 0; first < shape.tokens_per_rank; first += length, ++request) {
      const std::int64_t end = std::min(first + length, shape.tokens_per_rank);
      TokenRun run{.request = request,
                   .first_position = prefill ? 0 : static_cast<std::uint32_t>(shape.context),
                   .count = static_cast<std::uint32_t>(end - first),
                   .phase = shape.phase,
                   .kept = {}};
      std::vector<std::uint32_t> kept;
      for (; next < routed && sampled_index(shape, next) < end; ++next) {
        kept.push_back(static_cast<std::uint32_t>(sampled_index(shape, next) - first));
      }
      if (kept.size() < run.count) {
        run.kept = std::move(kept);
      }
      if (run.kept.empty() && routed < shape.tokens_per_rank) {
        continue;  // the sample skips this request
      }
      runs.push_back(std::move(run));
    }
  }
  return runs;
}

void check_runs(std::span<const TokenRun> runs) {
  constexpr std::uint64_t most = std::uint64_t{1} << 31;
  std::uint64_t tokens = 0;
  for (const TokenRun& run : runs) {
    tokens += run.size();
    const bool inside = run.kept.empty() || run.kept.back() < run.count;
    if (!inside || !std::ranges::is_sorted(run.kept, std::ranges::less_equal()) ||
        std::uint64_t{run.first_position} + run.count > most || tokens > most) {
      throw ConfigError("runs of tokens, request " + std::to_string(run.request),
                        "needs positions below 2^31, offsets ascending within the run and at most "
                        "2^31 tokens in all");
    }
  }
}

RoutedTokens empty_tokens(const RouterSpec& router, std::span<const TokenRun> runs) {
  RoutedTokens tokens;
  tokens.layers = router.layers;
  tokens.experts = router.experts;
  tokens.top_k = router.top_k;
  for (const TokenRun& run : runs) {
    for (std::size_t i = 0; i < run.size(); ++i) {
      tokens.token_id.push_back(0);
      tokens.request.push_back(run.request);
      tokens.position.push_back(run.position(i));
      tokens.phase.push_back(run.phase);
    }
  }
  tokens.ids.resize(tokens.request.size() * static_cast<std::size_t>(router.layers) *
                    static_cast<std::size_t>(router.top_k));
  return tokens;
}

RoutedTokens empty_batch(const RouterSpec& router, const BatchShape& shape) {
  RoutedTokens tokens = empty_tokens(router, batch_runs(shape));
  const std::int64_t routed = routed_per_rank(shape);
  tokens.token_weight =
      routed > 0 ? static_cast<double>(shape.tokens_per_rank) / static_cast<double>(routed) : 1.0;
  return tokens;
}

}  // namespace detail
}  // namespace moesim
