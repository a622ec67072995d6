#include "calibrate/fit/comm_fit_rows.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "calibrate/fit/least_squares.h"
#include "sim/core/quantile.h"

namespace moesim {
namespace {

// Mean logarithms that do not ascend are pooled with their neighbours (pool adjacent violators).
struct Pool {
  double sum = 0.0;
  std::size_t count = 0;

  [[nodiscard]] double mean() const { return sum / static_cast<double>(count); }
};

std::vector<double> ascending(const std::vector<double>& values) {
  std::vector<Pool> pools;
  for (const double value : values) {
    pools.push_back({value, 1});
    while (pools.size() > 1 && pools.back().mean() < pools[pools.size() - 2].mean()) {
      const Pool last = pools.back();
      pools.pop_back();
      pools.back().sum += last.sum;
      pools.back().count += last.count;
    }
  }
  std::vector<double> result;
  for (const Pool& pool : pools) {
    result.insert(result.end(), pool.count, pool.mean());
  }
  return result;
}

}  // namespace

RowPointers without_erratic(const RowPointers& rows) {
  struct Nodes {
    double best_rate = 0.0;
    double shortest_s = 0.0;
  };
  std::map<int, Nodes> seen;
  double best = 0.0;
  for (const CommRow* row : rows) {
    Nodes& nodes = seen[row->all_to_all.nodes];
    nodes.best_rate = std::max(nodes.best_rate, row->all_to_all.volume.nic_bytes / row->seconds);
    nodes.shortest_s =
        nodes.shortest_s == 0.0 ? row->seconds : std::min(nodes.shortest_s, row->seconds);
    best = std::max(best, nodes.best_rate);
  }
  RowPointers kept;
  std::ranges::copy_if(rows, std::back_inserter(kept), [&](const CommRow* row) {
    const Nodes& nodes = seen.at(row->all_to_all.nodes);
    return row->all_to_all.nodes == 1 || nodes.best_rate >= k_erratic_share * best ||
           row->seconds <= k_latency_bound * nodes.shortest_s;
  });
  return kept;
}

NotifyLaw fit_notify(const RowPointers& rows) {
  NotifyLaw law;
  std::vector<const AllToAllRow*> told;
  std::vector<double> measured;
  for (const CommRow* row : rows) {
    if (row->all_to_all.notify_s > 0.0) {
      told.push_back(&row->all_to_all);
      measured.push_back(row->all_to_all.notify_s);
    }
  }
  if (told.empty()) {
    return law;
  }
  const auto law_of = [](std::span<const double> c) {
    NotifyLaw fitted;
    fitted.base = Seconds(c[0]);
    fitted.per_node_doubling = Seconds(c[1]);
    fitted.per_token = Seconds(c[2]);
    return fitted;
  };
  constexpr double k_far = 1e4;  // bounds only keep the search finite
  constexpr int k_iterations = 300;
  std::vector<FitParameter> parameters;
  for (const double guess : {2e-5, 1e-5, 1e-9}) {
    parameters.push_back({guess, guess / k_far, guess * k_far});
  }
  const auto predict = [&](std::span<const double> c, std::span<double> out) {
    const NotifyLaw fitted = law_of(c);
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] = fitted.time(told[i]->nodes, told[i]->tokens).si();
    }
  };
  law = law_of(fit_coefficients(parameters, measured, predict, k_iterations).coefficients);
  law.rows = static_cast<std::int64_t>(told.size());
  std::vector<double> errors;
  for (std::size_t i = 0; i < told.size(); ++i) {
    errors.push_back(std::abs(law.time(told[i]->nodes, told[i]->tokens).si() / measured[i] - 1.0));
  }
  law.median_error = quantile(errors, 0.5);
  law.p90_error = quantile(errors, 0.9);
  return law;
}

std::vector<MeasuredCurve> measured_curves(const RowPointers& rows, const CommProfile& system) {
  std::map<int, std::map<double, Pool>> logs;  // by ranks, by bytes
  for (const CommRow* row : rows) {
    Pool& pool = logs[row->collective.ranks][row->collective.bytes];
    pool.sum += std::log(row->seconds);
    ++pool.count;
  }
  std::vector<MeasuredCurve> curves;
  for (const auto& [ranks, by_bytes] : logs) {
    MeasuredCurve& curve = curves.emplace_back();
    curve.ranks = ranks;
    std::vector<double> means;
    for (const auto& [bytes, pool] : by_bytes) {
      curve.link_s.push_back(bytes * link_volume(rows.front()->collective.op, ranks) /
                             system.device_link.si());
      means.push_back(pool.mean());
    }
    for (const double log : ascending(means)) {
      curve.time_s.push_back(std::exp(log));
    }
  }
  return curves;
}

}  // namespace moesim
