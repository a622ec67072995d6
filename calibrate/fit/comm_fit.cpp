#include "calibrate/fit/comm_fit.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <map>
#include <set>
#include <tuple>

#include "calibrate/fit/comm_fit_rows.h"
#include "calibrate/fit/least_squares.h"
#include "sim/core/error.h"
#include "sim/core/quantile.h"

namespace moesim {
namespace {

// What a fit may change: setters of a law's members, with first guesses in SI units.
template <class Law>
struct LawParameter {
  std::function<void(Law&, double)> set;
  double guess;
};

template <class Law>
using LawParameters = std::vector<LawParameter<Law>>;

template <class Law>
Law law_of(const LawParameters<Law>& parameters, Law law, std::span<const double> values) {
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    parameters[i].set(law, values[i]);
  }
  return law;
}

double predict(const AllToAllLaw& law, const CommRow& row, const CommProfile& system) {
  return predicted_seconds(law, row.all_to_all, system);
}
double predict(const CollectiveLaw& law, const CommRow& row, const CommProfile& system) {
  return predicted_seconds(law, row.collective, system);
}

template <class Law>
Law fit_law(const LawParameters<Law>& parameters, const Law& start, const RowPointers& rows,
            const CommProfile& system) {
  constexpr double k_far = 1e4;  // bounds only keep the search finite
  constexpr int k_iterations = 300;
  std::vector<double> measured;
  std::vector<FitParameter> coefficients;
  for (const CommRow* row : rows) {
    measured.push_back(row->seconds);
  }
  for (const auto& parameter : parameters) {
    coefficients.push_back({parameter.guess, parameter.guess / k_far, parameter.guess * k_far});
  }
  const auto predictor = [&](std::span<const double> values, std::span<double> out) {
    const Law law = law_of(parameters, start, values);
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] = predict(law, *rows[i], system);
    }
  };
  return law_of(parameters, start,
                fit_coefficients(coefficients, measured, predictor, k_iterations).coefficients);
}

template <class Law>
void append_errors(const Law& law, const RowPointers& rows, const CommProfile& system,
                   std::vector<double>& errors) {
  for (const CommRow* row : rows) {
    errors.push_back(std::abs(predict(law, *row, system) / row->seconds - 1.0));
  }
}

// Errors of rows whose group (`key`) the fit did not see.
template <class Law>
void hold_out(const std::function<Law(const RowPointers&)>& refit, const RowPointers& rows,
              const CommProfile& system, const std::string& what,
              const std::function<std::int64_t(const CommRow&)>& key, CommFit& fit) {
  std::set<std::int64_t> groups;
  for (const CommRow* row : rows) {
    groups.insert(key(*row));
  }
  if (groups.size() < 2) {
    return;
  }
  std::vector<double> errors;
  for (const std::int64_t group : groups) {
    RowPointers seen;
    RowPointers unseen;
    for (const CommRow* row : rows) {
      (key(*row) == group ? unseen : seen).push_back(row);
    }
    append_errors(refit(seen), unseen, system, errors);
  }
  fit.held_out = what;
  fit.held_out_median_error = quantile(errors, 0.5);
  fit.held_out_p90_error = quantile(errors, 0.9);
}

std::vector<std::int64_t> range_of(const RowPointers& rows,
                                   const std::function<std::int64_t(const CommRow&)>& value) {
  std::vector<std::int64_t> range{value(*rows.front()), value(*rows.front())};
  for (const CommRow* row : rows) {
    range[0] = std::min(range[0], value(*row));
    range[1] = std::max(range[1], value(*row));
  }
  return range;
}

template <class Law>
CommFit describe_fit(const Law& law, const RowPointers& rows, const CommProfile& system,
                     const std::string& date) {
  std::vector<double> errors;
  append_errors(law, rows, system, errors);
  CommFit fit;
  std::set<std::string> sources;
  for (const CommRow* row : rows) {
    sources.insert(row->source);
  }
  for (const std::string& source : sources) {
    fit.source += (fit.source.empty() ? "" : " | ") + source;
  }
  fit.date = date;
  fit.rows = static_cast<std::int64_t>(rows.size());
  fit.median_error = quantile(errors, 0.5);
  fit.p90_error = quantile(errors, 0.9);
  return fit;
}

constexpr std::size_t k_few_rows = 20;

bool varies(const RowPointers& rows, const std::function<std::int64_t(const CommRow&)>& value) {
  const auto range = range_of(rows, value);
  return range[0] != range[1];
}

std::int64_t nodes_of(const CommRow& row) { return row.all_to_all.nodes; }
std::int64_t hidden_of(const CommRow& row) { return row.all_to_all.hidden; }
std::int64_t experts_of(const CommRow& row) { return row.all_to_all.experts; }
std::int64_t tokens_of(const CommRow& row) { return row.all_to_all.tokens; }
std::int64_t ranks_of(const CommRow& row) { return row.all_to_all.ranks; }

// Only what the rows vary can be told apart.
LawParameters<AllToAllLaw> all_to_all_parameters(const RowPointers& rows,
                                                 const AllToAllLaw& start) {
  using Law = AllToAllLaw;
  const std::string& algorithm = rows.front()->all_to_all.algorithm;
  const bool many_nodes = range_of(rows, nodes_of)[1] > 1;
  const bool one_node = range_of(rows, nodes_of)[0] == 1;
  const bool normal = algorithm == "deepep_normal";
  const bool known = start.base.si() > 0.0;
  LawParameters<Law> p{
      {[](Law& l, double v) { l.base = Seconds(v); }, known ? start.base.si() : 1.5e-5}};
  if (one_node || normal) {
    p.push_back({[](Law& l, double v) { l.device_link_efficiency = v; },
                 known ? start.device_link_efficiency : 0.6});
  }
  if (many_nodes) {
    p.push_back(
        {[](Law& l, double v) { l.nic_efficiency = v; }, known ? start.nic_efficiency : 0.9});
  }
  if (rows.size() < k_few_rows) {
    return p;
  }
  if (varies(rows, nodes_of)) {
    p.push_back({[](Law& l, double v) { l.per_node_doubling = Seconds(v); }, 4e-6});
  }
  if (varies(rows, experts_of)) {
    p.push_back({[](Law& l, double v) { l.per_expert = Seconds(v); }, 5e-9});
  }
  if (varies(rows, hidden_of)) {
    p.push_back({[](Law& l, double v) { l.per_hidden = Seconds(v); }, 5e-10});
  }
  if (algorithm == "deepep_low_latency" && one_node && varies(rows, experts_of)) {
    p.push_back({[](Law& l, double v) { l.stream_rate = Bandwidth(v); }, 5e9});
  }
  if (normal) {
    p.push_back({[](Law& l, double v) { l.sm_rate = Bandwidth(v); }, 1.2e10});
    p.push_back({[](Law& l, double v) { l.sharpness = v; }, 5.0});
    p.push_back({[](Law& l, double v) { l.sm_per_token = Seconds(v); }, 1e-7});
  }
  if (one_node && !many_nodes && varies(rows, ranks_of)) {
    p.push_back({[](Law& l, double v) { l.per_rank_doubling = Seconds(v); }, 1e-6});
  }
  if (algorithm.starts_with("rank_dedup")) {
    p.push_back({[](Law& l, double v) { l.per_token = Seconds(v); }, 1e-9});
  }
  if (algorithm != "expert_copies") {
    p.push_back({[](Law& l, double v) { l.ramp = v; }, 1e-4});
  }
  return p;
}

// `start`: what the rows do not tell stays as it is there.
AllToAllFamily fit_all_to_all(const RowPointers& measured, AllToAllLaw start,
                              const CommProfile& system, const std::string& date) {
  const RowPointers rows = measured.size() < k_few_rows ? measured : without_erratic(measured);
  const AllToAllRow& sample = rows.front()->all_to_all;
  const auto parameters = all_to_all_parameters(rows, start);
  const bool few = rows.size() < k_few_rows;
  if (sample.algorithm == "deepep_normal" && !few) {
    start.sms = 24;  // the library's default; rows bring their own
  }
  AllToAllFamily family;
  family.algorithm = sample.algorithm;
  family.direction = sample.direction;
  family.multi_node = sample.nodes > 1;
  family.law = fit_law(parameters, start, rows, system);
  family.law.notify = fit_notify(rows);
  family.fit = describe_fit(family.law, rows, system, date);
  family.fit.erratic = static_cast<std::int64_t>(measured.size() - rows.size());
  family.fit.tokens = range_of(rows, tokens_of);
  family.fit.hidden = range_of(rows, hidden_of);
  family.fit.ranks = range_of(rows, ranks_of);
  const auto refit = [&](const RowPointers& seen) {
    return fit_law(parameters, start, seen, system);
  };
  if (!few && varies(rows, hidden_of)) {
    hold_out<AllToAllLaw>(refit, rows, system, "hidden", hidden_of, family.fit);
  } else if (!few && varies(rows, nodes_of)) {
    hold_out<AllToAllLaw>(refit, rows, system, "nodes", nodes_of, family.fit);
  } else if (!few && varies(rows, ranks_of)) {
    hold_out<AllToAllLaw>(refit, rows, system, "ranks", ranks_of, family.fit);
  }
  return family;
}

using AllToAllKey = std::tuple<std::string, Direction, bool>;

// A handful of published rows cannot carry a law per scope. They shift that of another device of
// the architecture (of those `known`); without one, rows of one node and of several are fitted
// together, and both scopes get the result.
std::vector<AllToAllFamily> fit_all_scopes(const std::map<AllToAllKey, RowPointers>& families,
                                           const CommProfile& system,
                                           const std::vector<CommProfile>& known,
                                           const std::string& date) {
  std::vector<AllToAllFamily> fitted;
  for (const auto& [key, rows] : families) {
    const auto& [algorithm, direction, multi_node] = key;
    RowPointers used = rows;
    const auto other = families.find({algorithm, direction, !multi_node});
    const AllToAllLaw* relative =
        rows.size() < k_few_rows ? relative_law(known, system, rows.front()->all_to_all) : nullptr;
    if (relative == nullptr && rows.size() < k_few_rows && other != families.end() &&
        other->second.size() < k_few_rows) {
      used.insert(used.end(), other->second.begin(), other->second.end());
      std::ranges::sort(used, {}, [](const CommRow* row) { return row->all_to_all.ranks; });
    }
    AllToAllLaw start;
    if (relative != nullptr) {
      start = *relative;
    } else if (multi_node && other != families.end()) {
      // Between nodes the fabric hides what a device's own link can do: take that from one node.
      start.device_link_efficiency = fitted.back().law.device_link_efficiency;
      start.stream_rate = fitted.back().law.stream_rate;
      start.per_hidden = fitted.back().law.per_hidden;
    }
    fitted.push_back(fit_all_to_all(used, start, system, date));
    fitted.back().multi_node = multi_node;
  }
  return fitted;
}

// Low-latency, bandwidth with flags, and bulk protocol, from small to large efficiency.
LawParameters<CollectiveLaw> collective_parameters() {
  constexpr std::size_t k_protocols = 3;
  constexpr std::array<double, k_protocols> base{5e-6, 8e-6, 1.5e-5};
  constexpr std::array<double, k_protocols> doubling{1e-6, 1e-6, 3e-6};
  constexpr std::array<double, k_protocols> efficiency{0.03, 0.25, 0.75};
  using Law = CollectiveLaw;
  LawParameters<Law> p;
  for (std::size_t i = 0; i < k_protocols; ++i) {
    p.push_back({[i](Law& l, double v) { l.protocols[i].base = Seconds(v); }, base[i]});
    p.push_back({[i](Law& l, double v) { l.protocols[i].per_doubling = Seconds(v); }, doubling[i]});
    p.push_back({[i](Law& l, double v) { l.protocols[i].efficiency = v; }, efficiency[i]});
  }
  p.push_back({[](Law& l, double v) { l.protocols[k_protocols - 1].ramp = v; }, 1e-5});
  return p;
}

CollectiveFamily fit_collective(const RowPointers& rows, const CommProfile& system,
                                const std::string& date) {
  CollectiveLaw start;
  start.protocols.resize(3);
  const auto parameters = collective_parameters();
  CollectiveFamily family;
  family.op = rows.front()->collective.op;
  family.library = rows.front()->collective.library;
  const auto with_curves = [&](CollectiveLaw law, const RowPointers& seen) {
    law.curves = measured_curves(seen, system);
    return law;
  };
  family.law = with_curves(fit_law(parameters, start, rows, system), rows);
  family.fit = describe_fit(family.law, rows, system, date);
  family.fit.ranks =
      range_of(rows, [](const CommRow& r) { return std::int64_t{r.collective.ranks}; });
  family.fit.bytes = range_of(
      rows, [](const CommRow& r) { return static_cast<std::int64_t>(r.collective.bytes); });
  const auto refit = [&](const RowPointers& seen) {
    return with_curves(fit_law(parameters, start, seen, system), seen);
  };
  hold_out<CollectiveLaw>(
      refit, rows, system, "factors of 4 in size",
      [](const CommRow& r) {
        return static_cast<std::int64_t>(std::log2(r.collective.bytes) / 2.0);
      },
      family.fit);
  return family;
}

}  // namespace

double predicted_seconds(const AllToAllLaw& law, const AllToAllRow& row,
                         const CommProfile& system) {
  AllToAllLaw with_sms = law;
  with_sms.sms = row.sms > 0 ? row.sms : law.sms;
  const AllToAllVolume& v = row.volume;
  const Seconds crossing = std::max(
      {with_sms.crossing(Bytes(v.device_bytes), system.device_link, true),
       law.crossing(Bytes(v.nic_bytes), system.nic, false), law.streaming(Bytes(v.stream_bytes))});
  return with_sms
      .time({.ranks = row.ranks,
             .nodes = row.nodes,
             .experts = row.experts,
             .tokens = row.tokens,
             .hidden = row.hidden},
            crossing)
      .si();
}

double predicted_seconds(const CollectiveLaw& law, const CollectiveRow& row,
                         const CommProfile& system) {
  return law.time(row.op, row.ranks, Bytes(row.bytes), system.device_link).si();
}

std::vector<CommProfile> fit_comm(const std::string& directory,
                                  const std::vector<CommProfile>& systems,
                                  const std::string& date) {
  CommRows table = read_comm_rows(directory, systems);
  split_sums(table.rows, systems);
  std::vector<CommProfile> fitted;
  add_exchanges(table.rows);
  using CollectiveKey = std::pair<CollectiveOp, std::string>;
  for (CommProfile system : systems) {
    std::map<AllToAllKey, RowPointers> all_to_all;
    std::map<CollectiveKey, RowPointers> collectives;
    for (const CommRow& row : table.rows) {
      if (row.system != system.device || row.fabric != system.fabric) {
        continue;
      }
      if (row.is_collective) {
        collectives[{row.collective.op, row.collective.library}].push_back(&row);
      } else {
        const AllToAllRow& a = row.all_to_all;
        all_to_all[{a.algorithm, a.direction, a.nodes > 1}].push_back(&row);
      }
    }
    if (all_to_all.empty() && collectives.empty()) {
      continue;
    }
    system.all_to_all = fit_all_scopes(all_to_all, system, fitted, date);
    system.collectives.clear();
    for (const auto& [key, rows] : collectives) {
      system.collectives.push_back(fit_collective(rows, system, date));
    }
    // The first library is the default: serving replays captured graphs, without launch overhead.
    std::ranges::stable_partition(system.collectives, [](const CollectiveFamily& family) {
      return !family.library.ends_with("_eager");
    });
    fitted.push_back(std::move(system));
  }
  return fitted;
}

}  // namespace moesim
