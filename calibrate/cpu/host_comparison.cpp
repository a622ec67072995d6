#include "calibrate/cpu/host_comparison.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <functional>
#include <map>

#include "sim/core/quantile.h"

namespace moesim {
namespace {

using Get = std::function<double(const LayerTimes&)>;

// Of a signed error that moves within an interval.
double least_size(const HostInterval& error) {
  const bool around_zero = error.low <= 0.0 && error.high >= 0.0;
  return around_zero ? 0.0 : std::min(std::abs(error.low), std::abs(error.high));
}

// The median error if every microbenchmark is at its low end, its time, or its high end: they make
// one profile, and what makes one wrong may make all wrong. Layers were measured each by itself, so
// that their intervals add what is left of them in a median of that many.
HostInterval median_interval(const std::vector<const HostComparison*>& rows) {
  std::vector<double> at_low;
  std::vector<double> at_time;
  std::vector<double> at_high;
  std::vector<double> own;
  for (const HostComparison* row : rows) {
    const double measured = row->measured.step_s;
    at_low.push_back(std::abs(row->predicted_s.low / measured - 1.0));
    at_time.push_back(std::abs(row->error()));
    at_high.push_back(std::abs(row->predicted_s.high / measured - 1.0));
    own.push_back(row->step.half_width());
  }
  constexpr double median_to_mean = 1.2533;  // of normal errors: sqrt(pi / 2)
  const double own_share =
      median_to_mean * median(own) / std::sqrt(static_cast<double>(rows.size()));
  const auto [low, high] = std::minmax({median(at_low), median(at_time), median(at_high)});
  return {std::max(0.0, low - own_share), high + own_share};
}

void add_step_intervals(const std::vector<const HostComparison*>& rows, HostGroup& group) {
  std::vector<double> naive;
  std::vector<double> noise;
  for (const HostComparison* row : rows) {
    naive.push_back(std::abs(row->naive_s / row->measured.step_s - 1.0));
    noise.push_back(row->noise());
    group.worst_beyond_noise =
        std::max(group.worst_beyond_noise, least_size(row->error_interval()));
  }
  group.naive_median_ape = median(naive);
  group.median_noise = median(noise);
  group.interval = median_interval(rows);
}

HostGroup group_of(const std::string& name, const std::vector<const HostComparison*>& rows,
                   const Get& get, bool steps) {
  HostGroup group;
  group.name = name;
  std::vector<double> errors;
  std::vector<const HostComparison*> members;
  for (const HostComparison* row : rows) {
    const double measured = get(row->measured);
    if (measured > 0.0) {
      const double error = get(row->predicted) / measured - 1.0;
      errors.push_back(std::abs(error));
      group.mean_signed_error += error;
      members.push_back(row);
    }
  }
  if (errors.empty()) {
    return group;
  }
  group.n = static_cast<std::int64_t>(errors.size());
  group.mean_signed_error /= static_cast<double>(errors.size());
  group.median_ape = quantile(errors, 0.5);
  group.p90_ape = quantile(errors, 0.9);
  group.worst_ape = quantile(errors, 1.0);
  if (steps) {
    add_step_intervals(members, group);
  }
  return group;
}

std::string share_text(double share) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.3g %%", 100.0 * share);
  return text.data();
}

}  // namespace

HostInterval HostComparison::error_interval() const {
  return {predicted_s.low / step.high_s - 1.0, predicted_s.high / step.low_s - 1.0};
}

double HostComparison::noise() const {
  const HostInterval error = error_interval();
  return (error.high - error.low) / 2.0;
}

std::vector<HostGroup> group_errors(const std::vector<HostComparison>& rows) {
  std::map<std::string, std::vector<const HostComparison*>> by_regime;
  for (const HostComparison& row : rows) {
    by_regime["all"].push_back(&row);
    by_regime[row.config.regime].push_back(&row);
  }
  std::vector<HostGroup> groups;
  const auto add = [&](HostGroup group) {
    if (group.n > 0) {
      groups.push_back(std::move(group));
    }
  };
  for (const auto& [regime, members] : by_regime) {
    const std::string prefix = "host/" + regime + "/";
    add(group_of(prefix + "step", members, [](const LayerTimes& t) { return t.step_s; }, true));
    for (std::size_t kind = 0; kind < k_step_kinds; ++kind) {
      add(group_of(
          prefix + std::string(step_name(static_cast<MoeStepKind>(kind))), members,
          [kind](const LayerTimes& t) { return t.phase_s.at(kind); }, false));
    }
    add(group_of(prefix + "disk", members, [](const LayerTimes& t) { return t.disk_s; }, false));
  }
  return groups;
}

std::string_view answer_name(HostAnswer answer) {
  switch (answer) {
    case HostAnswer::within:
      return "within";
    case HostAnswer::beyond:
      return "beyond";
    case HostAnswer::cannot_tell:
      break;
  }
  return "cannot_tell";
}

HostVerdict judge(const std::vector<HostGroup>& groups, double bar) {
  HostVerdict verdict;
  verdict.bar = bar;
  const auto all = std::ranges::find(groups, "host/all/step", &HostGroup::name);
  if (all == groups.end()) {
    verdict.text = "cannot tell: nothing was measured undisturbed often enough";
    return verdict;
  }
  verdict.median_ape = all->median_ape;
  verdict.noise = all->median_noise;
  verdict.interval = all->interval;
  verdict.n = all->n;
  const std::string found = "median error " + share_text(verdict.median_ape) + " (" +
                            share_text(verdict.interval.low) + " .. " +
                            share_text(verdict.interval.high) + ") of " +
                            std::to_string(verdict.n) + " configurations";
  const std::string limit = "; differences below " + share_text(verdict.noise) +
                            " between single configurations cannot be told here and now";
  if (verdict.noise > bar) {
    verdict.text = "cannot tell whether the median error is within " + share_text(bar) +
                   ": this machine's own noise is " + share_text(verdict.noise) + "; " + found;
  } else if (verdict.interval.high <= bar) {
    verdict.answer = HostAnswer::within;
    verdict.text = "within " + share_text(bar) + ": " + found + limit;
  } else if (verdict.interval.low > bar) {
    verdict.answer = HostAnswer::beyond;
    verdict.text = "not within " + share_text(bar) + ": " + found + limit;
  } else {
    verdict.text = "cannot tell whether within " + share_text(bar) + ": " + found + limit;
  }
  return verdict;
}

}  // namespace moesim
