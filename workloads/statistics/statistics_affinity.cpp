// Which experts follow which: of the next layers for the same token, of the same layer for the
// next.
#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numeric>

#include "sim/core/thread_pool.h"
#include "workloads/statistics/statistics_parts.h"

namespace moesim::detail {
namespace {

// top-1, top-k and top-20 % mass of P(b | a), weighted by P(a); mutual information in bits of one
// choice of a and one of b; top-20 % mass of the marginal of b.
using Affinity = std::array<double, 5>;

struct Joint {
  std::size_t experts = 0;
  std::vector<double> counts;  // [a][b]

  void add(std::span<const std::uint16_t> from, std::span<const std::uint16_t> to) {
    for (const auto a : from) {
      for (const auto b : to) {
        counts[a * experts + b] += 1.0;
      }
    }
  }
};

double top_mass(std::span<const double> descending, std::size_t n) {
  return std::accumulate(
      descending.begin(),
      descending.begin() + static_cast<std::ptrdiff_t>(std::min(n, descending.size())), 0.0);
}

std::size_t fifth_of(std::size_t experts) { return (experts + 4) / 5; }

Affinity affinity_of(const Joint& joint, std::size_t top_k) {
  const std::size_t n = joint.experts;
  const double total = std::accumulate(joint.counts.begin(), joint.counts.end(), 0.0);
  std::vector<double> row_share(n);
  std::vector<double> column_share(n);
  for (std::size_t a = 0; a < n; ++a) {
    for (std::size_t b = 0; b < n; ++b) {
      row_share[a] += joint.counts[a * n + b] / total;
      column_share[b] += joint.counts[a * n + b] / total;
    }
  }
  Affinity affinity{};
  for (std::size_t a = 0; a < n; ++a) {
    std::vector<double> row(joint.counts.begin() + static_cast<std::ptrdiff_t>(a * n),
                            joint.counts.begin() + static_cast<std::ptrdiff_t>((a + 1) * n));
    for (std::size_t b = 0; b < n; ++b) {
      const double both = row[b] / total;
      if (both > 0.0) {
        affinity[3] += both * std::log2(both / (row_share[a] * column_share[b]));
      }
    }
    std::ranges::sort(row, std::greater<>());
    affinity[0] += top_mass(row, 1) / total;  // share of a x mass given a
    affinity[1] += top_mass(row, top_k) / total;
    affinity[2] += top_mass(row, fifth_of(n)) / total;
  }
  std::ranges::sort(column_share, std::greater<>());
  affinity[4] = top_mass(column_share, fifth_of(n));
  return affinity;
}

void add_rows(const StatisticsInput& input, const std::string& statistic, const std::string& prefix,
              const std::vector<Affinity>& values, Rows& rows) {
  const std::string fifth = "top-" + std::to_string(fifth_of(input.experts()));
  const std::array<std::string, 5> names = {
      "top-1 mass", "top-" + std::to_string(input.top_k()) + " mass", fifth + " (20%) mass",
      "mutual information bits", "marginal " + fifth + " mass"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    double sum = 0.0;
    for (const Affinity& value : values) {
      sum += value[i];
    }
    rows.push_back(
        {statistic, "mean", prefix + names[i], sum / static_cast<double>(values.size()), ""});
  }
}

void add_interlayer_rows(const StatisticsInput& input, Rows& rows) {
  for (const std::size_t distance : {1U, 2U, 4U, 8U}) {
    if (input.layers() <= distance) {
      return;
    }
    const std::size_t step = distance == 1 ? 1 : 3;
    std::vector<Affinity> values((input.layers() - distance + step - 1) / step);
    parallel_for(values.size(), input.threads, [&](std::size_t i) {
      Joint joint{input.experts(), std::vector<double>(input.experts() * input.experts())};
      for (const auto token : input.kept) {
        joint.add(input.ids(i * step, token), input.ids(i * step + distance, token));
      }
      values[i] = affinity_of(joint, input.top_k());
    });
    add_rows(input, "interlayer_affinity", "distance " + std::to_string(distance) + "; ", values,
             rows);
  }
}

void add_intertoken_rows(const StatisticsInput& input, Rows& rows) {
  std::vector<std::uint32_t> followed;
  for (std::size_t t = 0; t + 1 < input.segment_of.size(); ++t) {
    if (input.segment_of[t] == input.segment_of[t + 1] && input.counted[t] != 0 &&
        input.counted[t + 1] != 0) {
      followed.push_back(static_cast<std::uint32_t>(t));
    }
  }
  if (followed.empty()) {
    return;
  }
  std::vector<Affinity> values((input.layers() + 2) / 3);
  parallel_for(values.size(), input.threads, [&](std::size_t i) {
    Joint joint{input.experts(), std::vector<double>(input.experts() * input.experts())};
    for (const auto token : followed) {
      joint.add(input.ids(i * 3, token), input.ids(i * 3, token + 1));
    }
    values[i] = affinity_of(joint, input.top_k());
  });
  add_rows(input, "intertoken_affinity", "next token; ", values, rows);
}

}  // namespace

void add_affinity_rows(const StatisticsInput& input, Rows& rows) {
  if (!input.kept.empty()) {
    add_interlayer_rows(input, rows);
    add_intertoken_rows(input, rows);
  }
}

}  // namespace moesim::detail
