#include "calibrate/fit/comm_fit_rows.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "calibrate/fit/least_squares.h"
#include "sim/core/error.h"
#include "sim/core/quantile.h"

namespace moesim {
namespace {

// Groups of logarithms whose medians do not ascend are pooled with their neighbours (pool adjacent
// violators; a median, since single rows are off by a factor of ten).
std::vector<double> ascending(const std::vector<std::vector<double>>& groups) {
  struct Pool {
    std::vector<double> values;
    std::size_t groups = 0;
    double median = 0.0;
  };
  std::vector<Pool> pools;
  for (const std::vector<double>& group : groups) {
    pools.push_back({group, 1, quantile(group, 0.5)});
    while (pools.size() > 1 && pools.back().median < pools[pools.size() - 2].median) {
      const Pool last = std::move(pools.back());
      pools.pop_back();
      Pool& pool = pools.back();
      pool.values.insert(pool.values.end(), last.values.begin(), last.values.end());
      pool.groups += last.groups;
      pool.median = quantile(pool.values, 0.5);
    }
  }
  std::vector<double> result;
  for (const Pool& pool : pools) {
    result.insert(result.end(), pool.groups, pool.median);
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
  // Best rates so far, by nodes and SMs, from few bytes to many.
  RowPointers by_bytes = rows;
  std::ranges::stable_sort(by_bytes, {},
                           [](const CommRow* row) { return row->all_to_all.volume.nic_bytes; });
  std::map<std::pair<int, int>, double> reached;
  std::set<const CommRow*> erratic;
  for (const CommRow* row : by_bytes) {
    const AllToAllRow& a = row->all_to_all;
    const Nodes& nodes = seen.at(a.nodes);
    const double rate = a.volume.nic_bytes / row->seconds;
    double& before = reached[{a.nodes, a.sms}];
    if ((nodes.best_rate < k_erratic_share * best || rate < k_erratic_share * before) &&
        a.nodes > 1 && row->seconds > k_latency_bound * nodes.shortest_s) {
      erratic.insert(row);
    }
    before = std::max(before, rate);
  }
  RowPointers kept;
  std::ranges::copy_if(rows, std::back_inserter(kept),
                       [&](const CommRow* row) { return !erratic.contains(row); });
  return kept;
}

void split_sums(std::vector<CommRow>& rows, const std::vector<CommProfile>& systems) {
  for (std::size_t i = 0, measured = rows.size(); i < measured; ++i) {
    if (!rows[i].back) {
      continue;
    }
    const CommProfile* system = system_of(rows[i], systems);
    ensure(system != nullptr, "rows of unknown systems are skipped");
    const double both = ideal_seconds(rows[i], *system);
    rows[i].back = false;
    const double share = ideal_seconds(rows[i], *system) / both;
    CommRow back = rows[i];
    back.all_to_all = back.combine;
    back.seconds *= 1.0 - share;
    rows[i].seconds *= share;
    rows.push_back(std::move(back));
  }
}

void add_exchanges(std::vector<CommRow>& rows) {
  struct Exchange {
    CollectiveOp op;
    std::string_view algorithm;
    Direction direction;
  };
  constexpr std::array<Exchange, 4> exchanges{
      {{CollectiveOp::all_to_all, "expert_copies", Direction::dispatch},
       {CollectiveOp::all_to_all, "expert_copies", Direction::combine},
       {CollectiveOp::all_gather, "allgather_reducescatter", Direction::dispatch},
       {CollectiveOp::reduce_scatter, "allgather_reducescatter", Direction::combine}}};
  for (std::size_t i = 0, measured = rows.size(); i < measured; ++i) {
    const CollectiveRow nccl = rows[i].collective;
    for (const Exchange& exchange : exchanges) {
      if (!rows[i].is_collective || nccl.op != exchange.op || !nccl.library.starts_with("nccl-")) {
        continue;
      }
      CommRow row = rows[i];
      row.is_collective = false;
      row.all_to_all.algorithm = exchange.algorithm;
      row.all_to_all.direction = exchange.direction;
      row.all_to_all.ranks = nccl.ranks;
      row.all_to_all.volume.device_bytes = nccl.bytes * link_volume(nccl.op, nccl.ranks);
      rows.push_back(std::move(row));
    }
  }
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

const AllToAllLaw* relative_law(const std::vector<CommProfile>& fitted, const CommProfile& system,
                                const AllToAllRow& sample) {
  for (const CommProfile& other : fitted) {
    for (const AllToAllFamily& family : other.all_to_all) {
      if (other.architecture == system.architecture && other.fabric == system.fabric &&
          family.algorithm == sample.algorithm && family.direction == sample.direction &&
          family.multi_node == (sample.nodes > 1)) {
        return &family.law;
      }
    }
  }
  return nullptr;
}

std::vector<MeasuredCurve> measured_curves(const RowPointers& rows, const CommProfile& system) {
  std::map<int, std::map<double, std::vector<double>>> logs;  // by ranks, by bytes
  for (const CommRow* row : rows) {
    logs[row->collective.ranks][row->collective.bytes].push_back(std::log(row->seconds));
  }
  std::vector<MeasuredCurve> curves;
  for (const auto& [ranks, by_bytes] : logs) {
    MeasuredCurve& curve = curves.emplace_back();
    curve.ranks = ranks;
    std::vector<std::vector<double>> groups;
    for (const auto& [bytes, values] : by_bytes) {
      curve.link_s.push_back(bytes * link_volume(rows.front()->collective.op, ranks) /
                             system.device_link.si());
      groups.push_back(values);
    }
    for (const double log : ascending(groups)) {
      curve.time_s.push_back(std::exp(log));
    }
  }
  return curves;
}

}  // namespace moesim
