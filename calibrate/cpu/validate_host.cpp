#include "calibrate/cpu/validate_host.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

#include "calibrate/cpu/micro_run.h"
#include "calibrate/cpu/moe_layer.h"
#include "sim/core/error.h"
#include "sim/core/quantile.h"

namespace moesim {
namespace {

constexpr int k_reference_tokens = 3;
constexpr std::int64_t k_least_repeats = 3;  // without another process on the processors

// A configuration with everything that it runs on. Not movable: the layers refer to the plan.
struct LayerCase {
  explicit LayerCase(MoePlan made) : plan(std::move(made)) {}
  MoePlan plan;
  std::unique_ptr<MoeLayers> layers;
  std::vector<LayerTimes> runs;  // every run, warm-ups included
};

LayerTimes times_of_last_run(const LayerCase& one, double seconds) {
  LayerTimes times;
  times.step_s = seconds;
  const double ranks = one.plan.config.ranks;
  for (std::size_t s = 0; s < one.plan.steps.size(); ++s) {
    const MoeLayers::StepTime& step = one.layers->step_times()[s];
    times.phase_s.at(static_cast<std::size_t>(one.plan.steps[s].kind)) +=
        (step.end_s - step.start_s) / ranks;
    times.disk_s += step.disk_s / ranks;
  }
  return times;
}

double median_of(const std::vector<LayerTimes>& runs,
                 const std::function<double(const LayerTimes&)>& get) {
  std::vector<double> values;
  for (const LayerTimes& run : runs) {
    values.push_back(get(run));
  }
  return quantile(std::move(values), 0.5);
}

// Medians of the undisturbed runs behind each visit's warm-up.
LayerTimes median_times(const LayerCase& one, const Repeated& repeated) {
  std::vector<LayerTimes> undisturbed;
  std::vector<LayerTimes> all;
  std::size_t at = 0;
  for (const std::vector<TimedSample>& round : repeated.rounds) {
    ++at;
    for (const TimedSample& sample : round) {
      all.push_back(one.runs[at]);
      if (sample.undisturbed) {
        undisturbed.push_back(one.runs[at]);
      }
      ++at;
    }
  }
  const std::vector<LayerTimes>& counted = undisturbed.size() < 3 ? all : undisturbed;
  LayerTimes times;
  times.step_s = median_of(counted, [](const LayerTimes& t) { return t.step_s; });
  times.disk_s = median_of(counted, [](const LayerTimes& t) { return t.disk_s; });
  for (std::size_t kind = 0; kind < k_step_kinds; ++kind) {
    times.phase_s.at(kind) =
        median_of(counted, [kind](const LayerTimes& t) { return t.phase_s.at(kind); });
  }
  return times;
}

HostComparison compare(const LayerCase& one, const Repeated& repeated, const HostProfile& profile) {
  HostComparison row;
  row.config = one.plan.config;
  row.measured = median_times(one, repeated);
  const LoweredPlan lowered = lower_plan(one.plan, profile);
  row.predicted = run_lowered(lowered, one.plan);
  row.extrapolated = lowered.extrapolated;
  row.naive_s = naive_seconds(one.plan, profile);
  const Quantiles q = quantiles_of_all(repeated);
  row.p10_s = q.p10_s;
  row.p90_s = q.p90_s;
  row.repeats = q.repeats;
  row.first_round_s = quantiles(repeated.rounds.front()).median_s;
  row.last_round_s = quantiles(repeated.rounds.back()).median_s;
  row.disk_reads = one.layers->disk_reads();
  return row;
}

HostGroup group_of(const std::string& name, const std::vector<const HostComparison*>& rows,
                   const std::function<double(const LayerTimes&)>& get, bool steps) {
  HostGroup group;
  group.name = name;
  std::vector<double> errors;
  std::vector<double> naive;
  std::vector<double> noise;
  for (const HostComparison* row : rows) {
    const double measured = get(row->measured);
    if (measured <= 0.0) {
      continue;
    }
    const double error = get(row->predicted) / measured - 1.0;
    errors.push_back(std::abs(error));
    group.mean_signed_error += error;
    naive.push_back(std::abs(row->naive_s / row->measured.step_s - 1.0));
    noise.push_back(row->noise());
    group.worst_beyond_noise = std::max(group.worst_beyond_noise, std::abs(error) - row->noise());
  }
  if (errors.empty()) {
    return group;
  }
  group.n = static_cast<std::int64_t>(errors.size());
  group.mean_signed_error /= static_cast<double>(errors.size());
  group.median_ape = quantile(errors, 0.5);
  group.p90_ape = quantile(errors, 0.9);
  group.worst_ape = quantile(errors, 1.0);
  group.naive_median_ape = steps ? quantile(naive, 0.5) : 0.0;
  group.median_noise = quantile(noise, 0.5);
  return group;
}

}  // namespace

double HostComparison::noise() const {
  const double spread = (p90_s - p10_s) / 2.0;
  return std::max(spread, std::abs(last_round_s - first_round_s)) / measured.step_s;
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

HostValidation validate_host(const HostValidationOptions& options, const Progress& progress) {
  use_one_blas_thread();
  const std::string source =
      host_description();  // before the team narrows what this thread may use
  ThreadTeam team(static_cast<int>(std::min<std::size_t>(usable_processors().size(), 2)));
  const WeightPool pool(pool_bytes(options.quick), k_weight_scale);
  const ExpertFile file(options.scratch_folder, pool, disk_bytes(options.quick));
  const MicroMachine machine{team, pool, file};

  HostValidation result;
  MicroSession session;
  std::vector<std::pair<std::string, std::size_t>> ends;  // family, where its cases end
  if (!options.profile) {
    for (const MicroFamily& family : micro_families()) {
      if (family.for_profile) {
        session.add(family.cases(machine, options.quick), micro_limits(family, options.quick));
        ends.emplace_back(family.name, session.keys.size());
      }
    }
  }
  const bool has_disk = file.has_direct() && (!options.profile || options.profile->disk);
  std::int64_t too_wide = 0;
  std::int64_t without_disk = 0;
  std::vector<std::unique_ptr<LayerCase>> layers;
  for (const MoeConfig& config : host_configurations(options)) {
    if (config.threads() > team.size()) {
      ++too_wide;
      continue;
    }
    if (config.home == ExpertHome::disk && !has_disk) {
      ++without_disk;
      continue;
    }
    auto one = std::make_unique<LayerCase>(make_plan(config));
    one->layers = std::make_unique<MoeLayers>(one->plan, pool, team, &file);
    LayerCase* raw = one.get();
    session.cases.push_back(
        {[raw] {
           const TimedSample sample = raw->layers->run();
           raw->runs.push_back(times_of_last_run(*raw, sample.seconds));
           return sample;
         },
         options.quick ? RepeatLimits{0.04, 4, 30, 8.0} : RepeatLimits{0.1, 5, 40, 8.0},
         {}});
    layers.push_back(std::move(one));
  }
  if (too_wide > 0) {
    result.skipped.emplace_back("needs two processors", too_wide);
  }
  if (without_disk > 0) {
    result.skipped.emplace_back(file.has_direct() ? "the profile has no disk" : k_no_direct_reads,
                                without_disk);
  }
  interleave(session.cases, micro_rounds(options.quick), options.quick ? 28.0 : 190.0, progress);
  const std::span<const Repeated> measured(session.cases);
  const std::vector<MicroRow> rows = micro_rows(session.keys, measured.first(session.keys.size()));
  auto from = rows.begin();
  for (const auto& [family, end] : ends) {
    const auto to = rows.begin() + static_cast<std::ptrdiff_t>(end);
    result.micro.push_back({family, {source, {from, to}}});
    from = to;
  }
  result.profile =
      options.profile ? *options.profile : fit_host_profile(rows, source, "microbenchmarks");
  std::int64_t disturbed = 0;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const Repeated& repeated = measured[session.keys.size() + i];
    if (quantiles_of_all(repeated).undisturbed < k_least_repeats) {
      ++disturbed;
      continue;
    }
    HostComparison row = compare(*layers[i], repeated, result.profile);
    row.deviation =
        deviation_from_reference(*layers[i]->layers, layers[i]->plan, pool, k_reference_tokens);
    result.rows.push_back(std::move(row));
  }
  if (disturbed > 0) {
    result.skipped.emplace_back("other processes took the processors in nearly every repeat",
                                disturbed);
  }
  result.groups = group_errors(result.rows);
  return result;
}

}  // namespace moesim
