#include "sim/reproduce/reproduce.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>

#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/core/thread_pool.h"
#include "sim/reproduce/run_kinds.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

// One claim to be attempted.
struct Attempt {
  std::size_t result = 0;    // in the results
  std::size_t scenario = 0;  // in the task
  const ClaimMeasure* measure = nullptr;
};

// A run's report: of its only point, or {"points": [report, ...]} of a grid.
RunReport merged(const ClaimRun& run, std::vector<RunReport> points) {
  if (run.grid.empty()) {
    return std::move(points.front());
  }
  Json reports = Json::array();
  RunReport all;
  for (const RunReport& point : points) {
    reports.push_back(*point.report);
    all.warnings.insert(all.warnings.end(), point.warnings.begin(), point.warnings.end());
  }
  all.report = std::make_shared<const Json>(Json{{"points", std::move(reports)}});
  return all;
}

std::string run_of(const std::string& name) { return name.substr(0, name.find('.')); }

// Reports of one scenario's runs, by name.
using Reports = std::map<std::string, const RunReport*>;

Expression::Lookup lookup_in(const Reports& reports, const std::string& where) {
  return [&reports, where](const std::string& name) {
    const std::string run = run_of(name);
    if (run.size() == name.size()) {
      throw ConfigError(
          where, "\"" + name + "\" is a run; add what of it, such as " + name + ".metrics.step_s");
    }
    return report_values(*reports.at(run)->report, name.substr(run.size() + 1), where);
  };
}

class Steps {
 public:
  Steps(const ReproduceTask& task, std::size_t total) : task_(task), total_(total) {}

  void done(std::size_t steps) {
    const std::scoped_lock lock(mutex_);
    done_ += steps;
    tell(task_.progress, done_, total_);
  }

 private:
  const ReproduceTask& task_;
  std::mutex mutex_;
  std::size_t done_ = 0;
  std::size_t total_;
};

class Reproduction {
 public:
  explicit Reproduction(const ReproduceTask& task)
      : task_(task),
        library_(task.catalogs),
        needed_(task.scenarios.size()),
        fits_(task.scenarios.size()),
        reports_of_(task.scenarios.size()) {}

  std::vector<ClaimResult> run() {
    select();
    for (const Attempt& attempt : attempts_) {
      note_needs(attempt);
    }
    for (std::size_t s = 0; s < needed_.size(); ++s) {
      if (!needed_[s].empty()) {
        check_fit(task_.scenarios[s]);
      }
    }
    fit_and_run();
    for (const Attempt& attempt : attempts_) {
      judge_claim(attempt);
    }
    return std::move(results_);
  }

 private:
  // Which claims are wanted, and which scenario measures them.
  void select() {
    std::vector<std::string> known;
    for (const Claim& claim : task_.claims) {
      known.push_back(claim.id);
    }
    for (const std::string& id : task_.ids) {
      if (std::ranges::find(known, id) == known.end()) {
        throw ConfigError(task_.claims_name, "has no claim \"" + id + "\"; the nearest are: " +
                                                 joined(near_texts(id, known)));
      }
    }
    for (const Claim& claim : task_.claims) {
      if (!task_.ids.empty() && std::ranges::find(task_.ids, claim.id) == task_.ids.end()) {
        continue;
      }
      results_.push_back({.claim = claim});
      for (std::size_t s = 0; s < task_.scenarios.size(); ++s) {
        const auto& measures = task_.scenarios[s].measures;
        const auto measure = std::ranges::find(measures, claim.id, &ClaimMeasure::claim);
        if (measure != measures.end()) {
          attempts_.push_back({results_.size() - 1, s, &*measure});
        }
      }
    }
  }

  void note_needs(const Attempt& attempt) {
    for (const auto* expressions : {&attempt.measure->figures, &attempt.measure->published}) {
      for (const Expression& expression : *expressions) {
        for (const std::string& name : expression.names()) {
          needed_[attempt.scenario].insert(run_of(name));
        }
      }
    }
  }

  // What is fitted to a figure cannot predict it.
  void check_fit(const ClaimScenario& scenario) const {
    if (!scenario.fit) {
      return;
    }
    const ClaimFit& fit = *scenario.fit;
    const std::string where = scenario.path + "#/fit";
    const auto claim = std::ranges::find(task_.claims, fit.claim, &Claim::id);
    if (claim == task_.claims.end()) {
      throw ConfigError(where + "/claim", "\"" + fit.claim + "\" is no claim of " +
                                              task_.claims_name +
                                              "; name the claim whose "
                                              "published figure is fitted to");
    }
    const auto publishes = [&](const std::vector<double>& numbers) {
      return std::ranges::find(numbers, fit.to) != numbers.end();
    };
    if (!publishes(claim->numbers) && !publishes(claim->all_numbers) &&
        !publishes(claim->baseline_numbers)) {
      throw ConfigError(where + "/to",
                        "is not what " + fit.claim + " publishes: " + claim->value_json);
    }
    if (claim->kind != ClaimKind::calibrate && publishes(claim->numbers)) {
      throw ConfigError(where + "/claim", "\"" + fit.claim + "\" is of kind " +
                                              std::string(name_of(claim->kind)) +
                                              "; fit to a claim of kind calibrate, or to a "
                                              "figure of its list or baseline");
    }
    for (const ClaimMeasure& measure : scenario.measures) {
      const auto measured = std::ranges::find(task_.claims, measure.claim, &Claim::id);
      const bool predicts = measured != task_.claims.end() && measured->kind == ClaimKind::predict;
      for (const Expression& figure : measure.figures) {
        if (predicts && figure.text() == fit.measure.text()) {
          throw ConfigError(where + "/measure",
                            "is what " + measure.claim + " is to predict; fit to something else");
        }
      }
    }
  }

  [[nodiscard]] ScenarioDocument document_of(std::size_t s, const std::string& run,
                                             std::size_t point,
                                             std::optional<double> fitted) const {
    const ClaimScenario& scenario = task_.scenarios[s];
    ScenarioDocument document = run_document(scenario, run, task_.scenario_folders, point);
    if (fitted && std::ranges::find(scenario.fit->runs, run) != scenario.fit->runs.end()) {
      const std::string number = Json(*fitted).dump();
      const std::string& unit = scenario.fit->unit;
      apply_override(document.json, scenario.fit->pointer + "=" +
                                        (unit.empty() ? number : Json(number + " " + unit).dump()));
    }
    return document;
  }

  [[nodiscard]] std::string name_of_run(std::size_t s, const std::string& run) const {
    return task_.scenarios[s].path + " run " + run;
  }

  void fit_and_run() {
    std::vector<std::size_t> to_fit;
    std::size_t points = 0;
    for (std::size_t s = 0; s < needed_.size(); ++s) {
      for (const std::string& run : needed_[s]) {
        points += task_.scenarios[s].runs.at(run).points();
      }
      if (!needed_[s].empty() && task_.scenarios[s].fit) {
        to_fit.push_back(s);
      }
    }
    constexpr std::size_t runs_per_fit = 10;  // as far as progress is concerned
    Steps progress(task_, std::max<std::size_t>(1, points + to_fit.size() * runs_per_fit));
    parallel_for(to_fit.size(), task_.threads, [&](std::size_t i) {
      fits_[to_fit[i]] = fit(to_fit[i]);
      progress.done(runs_per_fit);
    });
    run_all(progress);
  }

  [[nodiscard]] ParameterFit fit(std::size_t s) const {
    const ClaimFit& fit = *task_.scenarios[s].fit;
    std::set<std::string> runs;
    for (const std::string& name : fit.measure.names()) {
      runs.insert(run_of(name));
    }
    const auto figure = [&](double parameter) {
      std::map<std::string, RunReport> ran;
      Reports reports;
      for (const std::string& run : runs) {
        const ClaimRun& description = task_.scenarios[s].runs.at(run);
        std::vector<RunReport> points;
        for (std::size_t point = 0; point < description.points(); ++point) {
          points.push_back(
              run_kind(description.kind)
                  .run(document_of(s, run, point, parameter), name_of_run(s, run), library_));
        }
        ran[run] = merged(description, std::move(points));
        reports[run] = &ran[run];
      }
      return fit.measure.value(lookup_in(reports, task_.scenarios[s].path + "#/fit/measure"));
    };
    return fit_parameter({.figure = figure, .low = fit.low, .high = fit.high, .target = fit.to});
  }

  struct Job {
    const RunKind* kind = nullptr;
    ScenarioDocument document;
    std::string name;
  };

  // Points that are alike are run once, of whatever runs.
  void run_all(Steps& progress) {
    std::vector<Job> jobs;
    std::map<std::string, std::size_t> job_of_document;
    std::vector<std::map<std::string, std::vector<std::size_t>>> jobs_of(needed_.size());
    for (std::size_t s = 0; s < needed_.size(); ++s) {
      const std::optional<double> fitted =
          fits_[s] ? std::optional(fits_[s]->parameter) : std::nullopt;
      for (const std::string& run : needed_[s]) {
        const ClaimRun& description = task_.scenarios[s].runs.at(run);
        for (std::size_t point = 0; point < description.points(); ++point) {
          ScenarioDocument document = document_of(s, run, point, fitted);
          const auto [known, fresh] =
              job_of_document.emplace(description.kind + document.json.dump(), jobs.size());
          jobs_of[s][run].push_back(known->second);
          if (fresh) {
            jobs.push_back({&run_kind(description.kind), std::move(document), name_of_run(s, run)});
          } else {
            progress.done(1);
          }
        }
      }
    }
    const std::vector<RunReport> of_jobs = run_jobs(jobs, progress);
    for (std::size_t s = 0; s < jobs_of.size(); ++s) {
      for (const auto& [run, points] : jobs_of[s]) {
        std::vector<RunReport> reports;
        for (const std::size_t job : points) {
          reports.push_back(of_jobs[job]);
        }
        reports_.push_back(std::make_unique<const RunReport>(
            merged(task_.scenarios[s].runs.at(run), std::move(reports))));
        reports_of_[s][run] = reports_.back().get();
      }
    }
  }

  [[nodiscard]] std::vector<RunReport> run_jobs(const std::vector<Job>& jobs,
                                                Steps& progress) const {
    std::vector<RunReport> reports(jobs.size());
    parallel_for(jobs.size(), task_.threads, [&](std::size_t j) {
      reports[j] = jobs[j].kind->run(jobs[j].document, jobs[j].name, library_);
      progress.done(1);
    });
    return reports;
  }

  void judge_claim(const Attempt& attempt) {
    const ClaimScenario& scenario = task_.scenarios[attempt.scenario];
    const ClaimMeasure& measure = *attempt.measure;
    ClaimResult& result = results_[attempt.result];
    const Claim& claim = result.claim;
    const std::string where = scenario.path + "#/measure";
    const std::string judged = scenario.path + "#/judge/" + claim.id;
    const auto lookup = lookup_in(reports_of_[attempt.scenario], where);
    result.scenario = &scenario;
    result.fit = fits_[attempt.scenario];
    result.why = measure.why;
    note_warnings(attempt, result.warnings);
    for (const Expression& figure : measure.figures) {
      result.asked += (result.asked.empty() ? "" : "; ") + figure.text();
      result.simulated.push_back(figure.value(lookup));
    }
    Target target{.published = claim.numbers,
                  .half_digits = claim.half_digits,
                  .tolerance = claim.tolerance,
                  .bound = measure.bound,
                  .neutral = measure.neutral.value_or(neutral_of(claim.unit))};
    const bool simulated_target = std::ranges::any_of(
        measure.published, [](const Expression& e) { return !e.names().empty(); });
    if (simulated_target && !claim.numbers.empty()) {
      throw ConfigError(judged + "/published", "names a run, but " + claim.id + " publishes " +
                                                   claim.value_json + "; restate it with numbers");
    }
    if (!measure.published.empty()) {
      restate(measure, lookup, target);
      result.restated = true;
    }
    if (target.published.empty()) {
      throw ConfigError(judged, claim.id + " publishes no number but " + claim.value_json +
                                    "; restate it as /judge/" + claim.id + "/published");
    }
    if (measure.tolerance) {
      if (claim.tolerance.kind != ToleranceKind::none) {
        throw ConfigError(judged + "/tolerance",
                          "cannot be set: " + claim.id + " comes with a tolerance of its own");
      }
      target.tolerance = *measure.tolerance;
    }
    target.is_range = !measure.is_list && target.published.size() == 2;
    if (!target.is_range && target.published.size() != result.simulated.size()) {
      throw ConfigError(where, claim.id + " publishes " + std::to_string(target.published.size()) +
                                   " figures, but " + std::to_string(result.simulated.size()) +
                                   " are measured; give a list of as many expressions");
    }
    result.published = target.published;
    result.tolerance = target.tolerance;
    result.ratio = ratios(target, result.simulated);
    result.verdict = judge(target, result.simulated);
  }

  // Of the runs that it rests on, each once.
  void note_warnings(const Attempt& attempt, std::vector<std::string>& warnings) const {
    std::set<std::string> said;
    for (const Expression& figure : attempt.measure->figures) {
      for (const std::string& name : figure.names()) {
        for (const std::string& text : reports_of_[attempt.scenario].at(run_of(name))->warnings) {
          if (said.insert(text).second) {
            warnings.push_back(text);
          }
        }
      }
    }
  }

  static void restate(const ClaimMeasure& measure, const Expression::Lookup& lookup,
                      Target& target) {
    constexpr double rounding = 1e-9;  // a formula has no printed digits
    target.published.clear();
    target.half_digits.clear();
    for (const Expression& published : measure.published) {
      target.published.push_back(published.value(lookup));
      target.half_digits.push_back(rounding * std::abs(target.published.back()));
    }
  }

  const ReproduceTask& task_;
  Library library_;
  std::vector<ClaimResult> results_;
  std::vector<Attempt> attempts_;
  std::vector<std::set<std::string>> needed_;  // by scenario: runs
  std::vector<std::optional<ParameterFit>> fits_;
  std::vector<std::unique_ptr<const RunReport>> reports_;
  std::vector<Reports> reports_of_;
};

}  // namespace

std::vector<ClaimResult> reproduce(const ReproduceTask& task) { return Reproduction(task).run(); }

}  // namespace moesim
