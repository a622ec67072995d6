// What `validate host` runs.
#include <algorithm>
#include <array>
#include <set>

#include "calibrate/cpu/micro_run.h"
#include "calibrate/cpu/validate_host.h"
#include "sim/core/error.h"
#include "sim/core/rng.h"
#include "workloads/trace/moetrace.h"

namespace moesim {
namespace {

constexpr std::array<std::string_view, 6> k_regimes{"one_rank",  "two_ranks", "arrival",
                                                    "two_batch", "disk",      "page_cache"};
// How many of 18 configurations: plain runs are what all others build on.
constexpr std::array<int, 6> k_shares{5, 5, 2, 2, 3, 1};
constexpr double k_most_flops = 1.2e9;  // of one pass: some 12 ms on one core

template <class T, std::size_t N>
T one_of(const std::array<T, N>& values, Rng& rng) {
  return values.at(rng.below(N));
}

// The last shape is in no microbenchmark.
constexpr std::array<ExpertShape, 5> k_shapes{
    {{512, 256}, {512, 512}, {1024, 512}, {1024, 256}, {768, 384}}};
constexpr std::array<ExpertShape, 2> k_quick_shapes{{{512, 256}, {512, 512}}};

MoeConfig draw(std::string_view regime, bool quick, Rng& rng) {
  MoeConfig c;
  c.regime = regime;
  c.shape = quick ? one_of(k_quick_shapes, rng) : one_of(k_shapes, rng);
  c.experts = one_of(std::array{8, 16, 32, 64}, rng);
  c.top_k = one_of(std::array{1, 2, 4, 6, 8}, rng);
  c.layers = one_of(std::array{2, 3, 4}, rng);
  std::int64_t tokens =
      one_of(std::array<std::int64_t, 9>{1, 2, 4, 16, 32, 64, 128, 256, 512}, rng);
  c.routing = one_of(
      std::array<std::string_view, 4>{"balanced", "power_law:0", "power_law:0.6", "power_law:1.2"},
      rng);
  c.placement = one_of(std::array<std::string_view, 2>{"contiguous", "round_robin"}, rng);
  c.redundant = one_of(std::array{0, 0, 2, 4}, rng);
  c.seed = rng.below(1000);
  const auto slots_share = one_of(std::array{0.2, 0.5, 1.0}, rng);
  const bool on_disk = regime == "disk" || regime == "page_cache";
  c.ranks = regime == "two_ranks" || regime == "arrival" ? 2 : 1;
  if (on_disk) {
    c.home = regime == "disk" ? ExpertHome::disk : ExpertHome::page_cache;
    c.cache_experts = std::max(1, static_cast<int>(slots_share * c.experts * c.layers));
    c.ranks = one_of(std::array{1, 1, 2}, rng);
  }
  if (regime == "arrival") {
    c.overlap = HostOverlap::arrival;
  } else if (regime == "two_batch") {
    c.overlap = HostOverlap::two_batch;
  }
  tokens = std::max<std::int64_t>(tokens, regime == "two_batch" ? 2 : c.ranks);
  c.tokens_per_rank = tokens / c.ranks;
  if (c.ranks == 1) {
    c.redundant = 0;  // a replica needs another rank
  }
  return c;
}

bool is_sensible(const MoeConfig& c, bool quick) {
  const double flops = 2.0 * static_cast<double>(c.layers * c.ranks * c.tokens_per_rank * c.top_k *
                                                 c.shape.weights());
  const std::int64_t room = c.home == ExpertHome::memory ? pool_bytes(quick) : disk_bytes(quick);
  const std::int64_t gates = 4 * c.layers * c.experts * c.shape.hidden;
  return flops <= (quick ? 0.4 : 1.0) * k_most_flops && c.weight_bytes() + gates <= room &&
         c.top_k <= c.experts;
}

// Throws ConfigError when no shape of that many experts fits.
void add_trace(const HostValidationOptions& options, std::vector<MoeConfig>& configs) {
  const TraceFile file(options.trace);
  const TraceShape& trace = file.view().shape();
  const RngStreams streams(options.seed);
  const int wanted = options.quick ? 4 : 8;
  for (std::uint64_t i = 0, added = 0; added < static_cast<std::uint64_t>(wanted); ++i) {
    Rng rng = streams.stream("host_trace", i);
    MoeConfig c = draw(one_of(std::array<std::string_view, 2>{"one_rank", "two_ranks"}, rng),
                       options.quick, rng);
    c.regime = "trace";
    c.routing = options.trace;
    c.experts = trace.experts;
    c.top_k = trace.top_k;
    c.layers = options.quick ? 1 : std::min(2, trace.layers);
    if (is_sensible(c, options.quick)) {
      configs.push_back(c);
      ++added;
    } else if (i > 1000) {
      throw ConfigError(options.trace, "routes to " + std::to_string(c.experts) +
                                           " experts; the largest model that is run here holds " +
                                           std::to_string(pool_bytes(options.quick)) +
                                           " bytes of them");
    }
  }
}

}  // namespace

std::vector<MoeConfig> host_configurations(const HostValidationOptions& options) {
  const int wanted = options.configurations > 0 ? options.configurations : options.quick ? 24 : 72;
  std::vector<std::string_view> turns;
  for (std::size_t r = 0; r < k_regimes.size(); ++r) {
    turns.insert(turns.end(), static_cast<std::size_t>(k_shares.at(r)), k_regimes.at(r));
  }
  const RngStreams streams(options.seed);
  std::vector<MoeConfig> configs;
  std::set<std::string> seen;
  std::uint64_t drawn = 0;
  for (std::size_t turn = 0; configs.size() < static_cast<std::size_t>(wanted);) {
    // A stride without common factor with 18 spreads regimes over short runs, too.
    const std::string_view regime = turns[turn * 7 % turns.size()];
    Rng rng = streams.stream("host_configuration", drawn++);
    MoeConfig c = draw(regime, options.quick, rng);
    if (is_sensible(c, options.quick) && seen.insert(describe(c)).second) {
      configs.push_back(std::move(c));
      ++turn;
    }
  }
  if (!options.trace.empty()) {
    add_trace(options, configs);
  }
  return configs;
}

}  // namespace moesim
