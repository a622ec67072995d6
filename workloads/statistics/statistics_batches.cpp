// Imbalance of batches: consecutive tokens (few requests) against random ones (many requests), over
// experts and over ranks.
#include <algorithm>
#include <array>
#include <cmath>

#include "sim/core/quantile.h"
#include "sim/core/thread_pool.h"
#include "workloads/statistics/statistics_parts.h"

namespace moesim::detail {
namespace {

// More draws than the 40 of the reference definition: the same expectation, less than half the
// noise.
constexpr std::size_t draws = 200;

using Batches = std::vector<std::vector<std::uint32_t>>;

Batches random_batches(const StatisticsInput& input, std::size_t size, Rng& rng) {
  Batches batches;
  for (std::size_t i = 0; i < draws; ++i) {
    batches.push_back(input.draw(size, rng));
  }
  return batches;
}

Batches consecutive_batches(const StatisticsInput& input, std::size_t size, Rng& rng) {
  Batches batches;
  for (std::size_t i = 0; i < draws; ++i) {
    const auto at = static_cast<std::ptrdiff_t>(rng.below(input.kept.size() - size));
    const auto begin = input.kept.begin() + at;
    batches.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(size));
  }
  return batches;
}

struct BatchValues {
  std::vector<double> max_over_mean;  // [batch][layer]
  std::vector<double> distinct;
};

BatchValues evaluate(const StatisticsInput& input, const Batches& batches) {
  const std::size_t layers = input.layers();
  BatchValues values;
  values.max_over_mean.resize(batches.size() * layers);
  values.distinct.resize(batches.size() * layers);
  parallel_for(batches.size(), input.threads, [&](std::size_t b) {
    for (std::size_t l = 0; l < layers; ++l) {
      const auto loads = input.loads(l, batches[b]);
      const auto slots = static_cast<double>(batches[b].size() * input.top_k());
      values.max_over_mean[b * layers + l] =
          std::ranges::max(loads) * static_cast<double>(input.experts()) / slots;
      values.distinct[b * layers + l] =
          static_cast<double>(std::ranges::count_if(loads, [](double load) { return load > 0.0; }));
    }
  });
  return values;
}

double rank_imbalance(const StatisticsInput& input, const Batches& batches, std::size_t ranks) {
  const std::size_t per_rank = input.experts() / ranks;
  std::vector<double> values(batches.size());
  parallel_for(batches.size(), input.threads, [&](std::size_t b) {
    double sum = 0.0;
    for (std::size_t l = 0; l < input.layers(); ++l) {
      const auto loads = input.loads(l, batches[b]);
      std::vector<double> of_rank(ranks);
      for (std::size_t e = 0; e < loads.size(); ++e) {
        of_rank[e / per_rank] += loads[e];
      }
      sum += std::ranges::max(of_rank) / mean(of_rank);
    }
    values[b] = sum / static_cast<double>(input.layers());
  });
  return mean(values);
}

}  // namespace

std::vector<double> StatisticsInput::loads(std::size_t layer,
                                           std::span<const std::uint32_t> some) const {
  std::vector<std::uint32_t> counts(experts());
  for (const auto token : some) {
    for (const auto expert : ids(layer, token)) {
      ++counts[expert];
    }
  }
  return {counts.begin(), counts.end()};
}

std::vector<std::uint32_t> StatisticsInput::draw(std::size_t n, Rng& rng) const {
  // Floyd's algorithm would need a set; a partial Fisher-Yates over a copy is linear and simple.
  std::vector<std::uint32_t> pool = kept;
  for (std::size_t i = 0; i < n; ++i) {
    std::swap(pool[i], pool[i + rng.below(pool.size() - i)]);
  }
  pool.resize(n);
  return pool;
}

void add_batch_rows(const StatisticsInput& input, Rows& rows) {
  Rng rng = input.streams.stream("statistics/batches");
  const std::string layer = input.mean_of_layers();
  for (const std::size_t size : {16U, 64U, 256U, 1024U, 4096U, 16384U}) {
    if (input.kept.size() <= size) {
      return;
    }
    const std::string tokens = std::to_string(size);
    const auto consecutive = evaluate(input, consecutive_batches(input, size, rng));
    const auto random = evaluate(input, random_batches(input, size, rng));
    rows.push_back({"batch_load_max_over_mean", layer, tokens + " consecutive tokens",
                    mean(consecutive.max_over_mean), "ratio"});
    rows.push_back({"batch_load_max_over_mean", layer, tokens + " tokens drawn at random",
                    mean(random.max_over_mean), "ratio"});
    rows.push_back({"batch_load_max_over_mean_p95", layer, tokens + " consecutive tokens",
                    quantile(consecutive.max_over_mean, 0.95), "ratio"});
    rows.push_back({"distinct_experts", layer, tokens + " consecutive tokens",
                    mean(consecutive.distinct), "experts"});
    rows.push_back({"distinct_experts", layer, tokens + " tokens drawn at random",
                    mean(random.distinct), "experts"});
  }
}

void add_rank_rows(const StatisticsInput& input, Rows& rows) {
  constexpr std::size_t size = 1024;
  if (input.kept.size() <= size) {
    return;
  }
  Rng rng = input.streams.stream("statistics/ranks");
  const auto random = random_batches(input, size, rng);
  const auto consecutive = consecutive_batches(input, size, rng);
  for (const std::size_t ranks : {4U, 8U, 16U}) {
    if (input.experts() % ranks != 0) {
      continue;
    }
    const std::string name = std::to_string(ranks) + " ranks contiguous placement; 1024 ";
    rows.push_back({"ep_rank_load_max_over_mean", input.mean_of_layers(), name + "random tokens",
                    rank_imbalance(input, random, ranks), "ratio"});
    rows.push_back({"ep_rank_load_max_over_mean", input.mean_of_layers(),
                    name + "consecutive tokens", rank_imbalance(input, consecutive, ranks),
                    "ratio"});
  }
}

}  // namespace moesim::detail
