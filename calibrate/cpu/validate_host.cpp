#include "calibrate/cpu/validate_host.h"

#include <algorithm>
#include <functional>
#include <memory>

#include "calibrate/cpu/interrupt.h"
#include "calibrate/cpu/micro_run.h"
#include "calibrate/cpu/micro_usable.h"
#include "calibrate/cpu/moe_layer.h"
#include "sim/core/error.h"
#include "sim/core/quantile.h"

namespace moesim {
namespace {

constexpr int k_reference_tokens = 3;

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

// The undisturbed runs of every visit, without its warm-up.
std::vector<std::vector<LayerTimes>> undisturbed_runs(const LayerCase& one,
                                                      const Repeated& repeated) {
  std::vector<std::vector<LayerTimes>> rounds;
  std::size_t at = 0;
  for (const std::vector<TimedSample>& round : repeated.rounds) {
    std::vector<LayerTimes>& runs = rounds.emplace_back();
    ++at;
    for (const TimedSample& sample : round) {
      if (sample.undisturbed) {
        runs.push_back(one.runs[at]);
      }
      ++at;
    }
  }
  return rounds;
}

LayerTimes measured_times(const LayerCase& one, const Repeated& repeated) {
  const std::vector<std::vector<LayerTimes>> rounds = undisturbed_runs(one, repeated);
  const auto time_of = [&](const std::function<double(const LayerTimes&)>& get) {
    std::vector<std::vector<double>> values;
    for (const std::vector<LayerTimes>& round : rounds) {
      std::ranges::transform(round, std::back_inserter(values.emplace_back()), get);
    }
    return measured_time(values).seconds;
  };
  LayerTimes times;
  times.step_s = time_of([](const LayerTimes& t) { return t.step_s; });
  times.disk_s = time_of([](const LayerTimes& t) { return t.disk_s; });
  for (std::size_t kind = 0; kind < k_step_kinds; ++kind) {
    times.phase_s.at(kind) = time_of([kind](const LayerTimes& t) { return t.phase_s.at(kind); });
  }
  return times;
}

// The profile, and what it would be if every microbenchmark were at one end of its interval.
struct Profiles {
  HostProfile middle;
  std::vector<HostProfile> ends;  // none where the profile was given
};

HostComparison compare(const LayerCase& one, const Repeated& repeated, const Profiles& profiles) {
  HostComparison row;
  row.config = one.plan.config;
  row.measured = measured_times(one, repeated);
  row.step = measured_time(repeated.rounds);
  const LoweredPlan lowered = lower_plan(one.plan, profiles.middle);
  row.predicted = run_lowered(lowered, one.plan);
  row.predicted_s = {row.predicted.step_s, row.predicted.step_s};
  for (const HostProfile& end : profiles.ends) {
    const double seconds = predict(one.plan, end).step_s;
    row.predicted_s.low = std::min(row.predicted_s.low, seconds);
    row.predicted_s.high = std::max(row.predicted_s.high, seconds);
  }
  row.extrapolated = lowered.extrapolated;
  row.naive_s = naive_seconds(one.plan, profiles.middle);
  const Quantiles q = quantiles_of_all(repeated);
  row.p10_s = q.p10_s;
  row.p90_s = q.p90_s;
  row.disk_reads = one.layers->disk_reads();
  return row;
}

class Loop {
 public:
  explicit Loop(const HostValidationOptions& options)
      : options_(options),
        source_(host_description()),  // before the team narrows what this thread may use
        team_(static_cast<int>(std::min<std::size_t>(usable_processors().size(), 2))),
        pool_(pool_bytes(options.quick), k_weight_scale, options.cancel),
        file_(options.scratch_folder, pool_, disk_bytes(options.quick), options.cancel),
        machine_{team_, pool_, file_, options.cancel} {}

  HostValidation run(const Progress& progress) {
    add_micro();
    add_layers();
    const SessionEnd end =
        interleave(session_.cases, plan(), session_hooks(team_, progress, options_.cancel));
    check_interrupt(options_.cancel);
    describe_noise(end);
    judge_layers();
    result_.groups = group_errors(result_.rows);
    result_.verdict = judge(result_.groups, options_.bar);
    return std::move(result_);
  }

 private:
  [[nodiscard]] RoundPlan plan() const {
    RoundPlan plan =
        options_.quick ? RoundPlan{4, 12, 18.0, 18.0, 0.03} : RoundPlan{6, 24, 150.0, 150.0, 0.02};
    if (options_.budget_s > 0.0) {
      plan.patience_s = plan.budget_s = options_.budget_s;
    }
    return plan;
  }

  void add_micro() {
    if (options_.profile) {
      return;
    }
    for (const MicroFamily& family : micro_families()) {
      if (family.for_profile) {
        check_interrupt(options_.cancel);
        session_.add(family.cases(machine_, options_.quick), micro_limits(family));
        ends_.emplace_back(family.name, session_.keys.size());
      }
    }
  }

  void add_layers() {
    const bool has_disk = file_.has_direct() && (!options_.profile || options_.profile->disk);
    constexpr RepeatLimits limits{0.012, 1, 12, 6.0};
    for (const MoeConfig& config : host_configurations(options_)) {
      check_interrupt(options_.cancel);
      if (config.threads() > team_.size()) {
        skip("needs two processors");
        continue;
      }
      if (config.home == ExpertHome::disk && !has_disk) {
        skip(file_.has_direct() ? "the profile has no disk" : k_no_direct_reads);
        continue;
      }
      auto one = std::make_unique<LayerCase>(make_plan(config));
      one->layers = std::make_unique<MoeLayers>(one->plan, pool_, team_, &file_);
      LayerCase* raw = one.get();
      session_.cases.push_back({[raw] {
                                  const TimedSample sample = raw->layers->run();
                                  raw->runs.push_back(times_of_last_run(*raw, sample.seconds));
                                  return sample;
                                },
                                limits,
                                {}});
      layers_.push_back(std::move(one));
    }
  }

  void skip(const std::string& reason) {
    const auto known =
        std::ranges::find(result_.skipped, reason, &std::pair<std::string, std::int64_t>::first);
    if (known == result_.skipped.end()) {
      result_.skipped.emplace_back(reason, 1);
    } else {
      ++known->second;
    }
  }

  void describe_noise(const SessionEnd& end) {
    HostNoise& noise = result_.noise;
    noise.rounds = end.rounds;
    noise.narrow = end.narrow;
    noise.stolen_visit_share =
        end.visits == 0 ? 0.0
                        : static_cast<double>(end.stolen_visits) / static_cast<double>(end.visits);
    std::int64_t windows = 0;
    std::int64_t undisturbed = 0;
    std::vector<double> micro;
    std::vector<double> layers;
    for (std::size_t i = 0; i < session_.cases.size(); ++i) {
      times_.push_back(measured_time(session_.cases[i].rounds));
      windows += times_[i].windows;
      undisturbed += times_[i].undisturbed;
      if (times_[i].rounds >= k_least_rounds) {
        (i < session_.keys.size() ? micro : layers).push_back(times_[i].half_width());
      }
    }
    noise.undisturbed_share =
        windows == 0 ? 0.0 : static_cast<double>(undisturbed) / static_cast<double>(windows);
    noise.micro_half_width = micro.empty() ? 0.0 : median(micro);
    noise.layer_half_width = layers.empty() ? 0.0 : median(layers);
  }

  // Fits the profile, at both ends too; says what it cannot predict. None: nothing.
  std::optional<Profiles> fit(UsableMicro& usable) {
    if (options_.profile) {
      return Profiles{*options_.profile, {}};
    }
    const std::span<const MeasuredTime> times(times_.data(), session_.keys.size());
    usable = usable_micro(session_.keys, times);
    result_.noise.disturbed = usable.disturbed;
    if (!usable.any) {
      return std::nullopt;
    }
    const std::vector<MicroRow> all = micro_rows(
        session_.keys, std::span<const Repeated>(session_.cases).first(session_.keys.size()));
    std::array<std::vector<MicroRow>, 3> rows;  // middle, low and high ends
    std::size_t from = 0;
    for (const auto& [family, end] : ends_) {
      std::vector<MicroRow> table;
      for (const std::size_t i : usable.rows) {
        if (i >= from && i < end) {
          table.push_back(all[i]);
          for (std::size_t which = 0; which < rows.size(); ++which) {
            MicroRow row = all[i];
            row.time_s = which == 0 ? row.time_s : which == 1 ? times[i].low_s : times[i].high_s;
            rows.at(which).push_back(std::move(row));
          }
        }
      }
      result_.micro.push_back({family, {source_, std::move(table)}});
      from = end;
    }
    const auto fitted = [&](const std::vector<MicroRow>& of) {
      return fit_host_profile(of, source_, "microbenchmarks", options_.cancel);
    };
    return Profiles{fitted(rows[0]), {fitted(rows[1]), fitted(rows[2])}};
  }

  // Why a configuration cannot be judged; empty: it can.
  [[nodiscard]] std::string obstacle(const MoeConfig& config, const MeasuredTime& time,
                                     const std::optional<Profiles>& profiles,
                                     const UsableMicro& usable) const {
    if (!profiles) {
      return "other processes disturbed the microbenchmarks";
    }
    if (config.threads() == 2 && !usable.two_threads) {
      return "other processes disturbed the microbenchmarks of two threads";
    }
    if (config.home == ExpertHome::disk && !usable.disk) {
      return "other processes disturbed the microbenchmarks of the disk";
    }
    return time.rounds < k_least_rounds ? "other processes left it alone in fewer than " +
                                              std::to_string(k_least_rounds) + " rounds"
                                        : "";
  }

  void judge_layers() {
    result_.source = options_.profile ? options_.profile->source : source_;
    UsableMicro usable;
    const std::optional<Profiles> profiles = fit(usable);
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      check_interrupt(options_.cancel);
      const std::size_t at = session_.keys.size() + i;
      const std::string why = obstacle(layers_[i]->plan.config, times_[at], profiles, usable);
      if (!why.empty()) {
        skip(why);
        continue;
      }
      HostComparison row = compare(*layers_[i], session_.cases[at], *profiles);
      row.deviation = deviation_from_reference(*layers_[i]->layers, layers_[i]->plan, pool_,
                                               k_reference_tokens);
      result_.rows.push_back(std::move(row));
    }
    if (profiles) {
      result_.profile = profiles->middle;
    }
  }

  const HostValidationOptions& options_;
  double start_s_ = host_now_s();
  std::string source_;
  ThreadTeam team_;
  WeightPool pool_;
  ExpertFile file_;
  MicroMachine machine_;
  MicroSession session_;
  std::vector<std::pair<std::string, std::size_t>> ends_;  // family, where its cases end
  std::vector<std::unique_ptr<LayerCase>> layers_;
  std::vector<MeasuredTime> times_;  // by case
  HostValidation result_;
};

}  // namespace

HostValidation validate_host(const HostValidationOptions& options, const Progress& progress) {
  use_one_blas_thread();
  return Loop(options).run(progress);
}

}  // namespace moesim
