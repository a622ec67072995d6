#include "sim/app/validate_training.h"

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "calibrate/fit/fit_errors.h"
#include "calibrate/validate/training_memory.h"
#include "sim/app/training_steps.h"
#include "sim/core/csv.h"
#include "sim/core/error.h"
#include "sim/core/output_file.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

class Errors {
 public:
  void add(double measured, double predicted, double naive) {
    absolute_.push_back(std::abs(predicted / measured - 1));
    naive_.push_back(std::abs(naive / measured - 1));
    signed_sum_ += predicted / measured - 1;
  }
  void add_static(double measured, double predicted) {
    static_.push_back(std::abs(predicted / measured - 1));
  }
  [[nodiscard]] TrainingGroup group(const std::string& name) const {
    const ErrorSummary ape = summarise(absolute_);
    TrainingGroup group{.name = name,
                        .n = static_cast<std::int64_t>(absolute_.size()),
                        .median_ape = ape.median,
                        .p90_ape = ape.p90,
                        .mean_signed_error = signed_sum_ / static_cast<double>(absolute_.size()),
                        .naive_median_ape = summarise(naive_).median};
    if (!static_.empty()) {
      const ErrorSummary fixed = summarise(static_);
      group.static_median_ape = fixed.median;
      group.static_p90_ape = fixed.p90;
    }
    return group;
  }

 private:
  std::vector<double> absolute_;
  std::vector<double> naive_;
  std::vector<double> static_;
  double signed_sum_ = 0.0;
};

using ErrorsByName = std::map<std::string, Errors>;

std::vector<TrainingGroup> groups_of(const ErrorsByName& errors) {
  std::vector<TrainingGroup> groups;
  for (const auto& [name, group] : errors) {
    groups.push_back(group.group(name));
  }
  return groups;
}

std::string number(double value) { return Json(value).dump(); }

ValidateTrainingResult validate_memory(const CsvTable& table, OutputFile* file) {
  const MemoryPoints points = judge_training_memory(table);
  ErrorsByName groups;
  ErrorsByName pooled;
  if (file != nullptr) {
    file->write(
        "group,id,quality,measured_bytes,predicted_bytes,naive_bytes,measured_static_bytes,"
        "predicted_static_bytes,line\n");
  }
  for (const JudgedMemory& point : points.points) {
    const std::string name = "peak_memory/" + point.family + "/" + point.system;
    for (Errors* errors :
         {&groups[name], &pooled["peak_memory"], &pooled["peak_memory/quality " + point.quality]}) {
      errors->add(point.measured_bytes, point.predicted_bytes, point.naive_bytes);
      if (point.measured_static_bytes > 0) {
        errors->add_static(point.measured_static_bytes, point.predicted_static_bytes);
      }
    }
    if (file != nullptr) {
      std::string line = name;
      for (const std::string& cell :
           {point.id, point.quality, number(point.measured_bytes), number(point.predicted_bytes),
            number(point.naive_bytes), number(point.measured_static_bytes),
            number(point.predicted_static_bytes), std::to_string(point.line)}) {
        line.append(",").append(cell);
      }
      file->write(line + "\n");
    }
  }
  return {.groups = groups_of(groups), .pooled = groups_of(pooled), .skipped = points.skipped};
}

// Messages without the place: rows of one kind of refusal are counted together.
std::string refusal(const std::string& message) {
  const auto at = message.find(": ");
  return "not simulated: " + (at == std::string::npos ? message : message.substr(at + 2));
}

// Rows of a system with the framework's coefficients fitted to all other systems' rows: as a system
// that nobody has measured would be judged.
void add_left_out(const std::vector<JudgedStep>& steps, ErrorsByName& pooled,
                  std::vector<TrainingFit>& fits) {
  std::set<std::string> systems{""};
  for (const JudgedStep& step : steps) {
    systems.insert(step.point.system);
  }
  for (const std::string& system : systems) {
    std::vector<FitRow> rows;
    for (const JudgedStep& step : steps) {
      if (step.refused.empty() && step.point.system != system) {
        rows.push_back(step.fit);
      }
    }
    if (rows.empty()) {
      continue;
    }
    const FrameworkCoefficients found = fit_framework(rows);
    fits.push_back({.left_out = system,
                    .n = static_cast<std::int64_t>(rows.size()),
                    .host_us = found.host_us,
                    .slowdown = found.slowdown});
    for (const JudgedStep& step : steps) {
      if (step.refused.empty() && step.point.system == system) {
        pooled["step_s/left out/" + system].add(
            step.point.seconds, interpolated_seconds(step.fit, found), step.naive_s);
      }
    }
  }
}

std::vector<TrainingPairs> judge_pairs(const std::vector<TrainingPoint>& points,
                                       const std::vector<JudgedStep>& steps) {
  constexpr double noise = 0.06;  // of two runs of one configuration, as the sources say
  constexpr double points_off = 0.10;
  std::map<std::string, TrainingPairs> by_choice;
  for (const TrainingPair& pair : training_pairs(points)) {
    const JudgedStep& a = steps[pair.first];
    const JudgedStep& b = steps[pair.second];
    if (!a.refused.empty() || !b.refused.empty()) {
      continue;
    }
    const double measured = b.point.seconds / a.point.seconds;
    const double predicted = b.predicted_s / a.predicted_s;
    TrainingPairs& pairs = by_choice[pair.choice];
    pairs.choice = pair.choice;
    ++pairs.n;
    pairs.direction_right +=
        std::abs(measured - 1) < noise || (measured > 1) == (predicted > 1) ? 1 : 0;
    pairs.within_10_points += std::abs(measured - predicted) <= points_off ? 1 : 0;
  }
  std::vector<TrainingPairs> result;
  for (const auto& [choice, pairs] : by_choice) {
    result.push_back(pairs);
  }
  return result;
}

void write_step(OutputFile& file, const std::string& group, const JudgedStep& step) {
  std::string line = group;
  for (const std::string& cell :
       {step.point.id, step.point.quality, number(step.point.seconds), number(step.predicted_s),
        number(step.naive_s), number(step.exposed_s), number(step.bubble),
        std::to_string(step.point.line)}) {
    line.append(",").append(cell);
  }
  file.write(line + "\n");
}

ValidateTrainingResult validate_steps(const CsvTable& table, const ValidateTrainingOptions& options,
                                      OutputFile* file) {
  const TrainingPoints points = read_training_steps(table);
  std::map<std::string, std::int64_t> skipped = points.skipped;
  ErrorsByName groups;
  ErrorsByName pooled;
  if (file != nullptr) {
    file->write(
        "group,id,quality,measured_s,predicted_s,naive_s,exposed_communication_s,bubble_fraction,"
        "line\n");
  }
  const std::vector<JudgedStep> steps = predict_training_steps(points.points, options);
  for (const JudgedStep& step : steps) {
    const TrainingPoint& point = step.point;
    if (!step.refused.empty()) {
      ++skipped[refusal(step.refused)];
      continue;
    }
    const std::string name = "step_s/" + point.model + "/" + point.system;
    for (Errors* errors :
         {&groups[name], &pooled["step_s"], &pooled["step_s/quality " + point.quality],
          &pooled["step_s/" + point.system], &pooled["step_s/" + point.precision]}) {
      errors->add(point.seconds, step.predicted_s, step.naive_s);
    }
    if (file != nullptr) {
      write_step(*file, name, step);
    }
  }
  std::vector<TrainingFit> fits;
  if (options.refit) {
    add_left_out(steps, pooled, fits);
  }
  return {.groups = groups_of(groups),
          .pooled = groups_of(pooled),
          .pairs = judge_pairs(points.points, steps),
          .fits = std::move(fits),
          .skipped = std::move(skipped)};
}

Json group_json(const TrainingGroup& group) {
  Json json{{"name", group.name},
            {"n", group.n},
            {"median_ape", group.median_ape},
            {"p90_ape", group.p90_ape},
            {"mean_signed_error", group.mean_signed_error},
            {"baseline", {{"naive_median_ape", group.naive_median_ape}}}};
  if (group.static_median_ape && group.static_p90_ape) {
    json["static_memory"] = {{"median_ape", *group.static_median_ape},
                             {"p90_ape", *group.static_p90_ape}};
  }
  return json;
}

}  // namespace

std::int64_t ValidateTrainingResult::judged() const {
  std::int64_t n = 0;
  for (const TrainingGroup& group : groups) {
    n += group.n;
  }
  return n;
}

ValidateTrainingResult validate_training(const ValidateTrainingOptions& options) {
  check_outputs(std::array{NamedFile{"--points", options.points}},
                std::array{NamedFile{"csv", options.file}});
  const CsvTable table = CsvTable::read(options.file);
  std::optional<OutputFile> file;
  if (!options.points.empty()) {
    file.emplace(options.points);
  }
  OutputFile* const out = file ? &*file : nullptr;
  ValidateTrainingResult result;
  if (is_training_memory(table)) {
    result = validate_memory(table, out);
  } else if (is_training_steps(table)) {
    result = validate_steps(table, options, out);
  } else {
    throw ConfigError(options.file,
                      "is no table of training runs: it has neither the columns family and "
                      "mem_max_allocated_bytes_max nor model, framework and s_per_iter");
  }
  if (file) {
    file->finish();
  }
  return result;
}

Json to_json(const ValidateTrainingResult& result) {
  Json document{{"groups", Json::array()}, {"pooled", Json::array()}, {"skipped", Json::array()}};
  std::int64_t rows = result.judged();
  for (const TrainingGroup& group : result.groups) {
    document["groups"].push_back(group_json(group));
  }
  for (const TrainingGroup& group : result.pooled) {
    document["pooled"].push_back(group_json(group));
  }
  for (const TrainingPairs& pairs : result.pairs) {
    document["pairs"].push_back({{"choice", pairs.choice},
                                 {"n", pairs.n},
                                 {"direction_right", pairs.direction_right},
                                 {"within_10_points", pairs.within_10_points}});
  }
  for (const TrainingFit& fit : result.fits) {
    document["fits"].push_back({{"left_out", fit.left_out},
                                {"n", fit.n},
                                {"host_per_kernel_us", fit.host_us},
                                {"slowdown", fit.slowdown}});
  }
  for (const auto& [reason, n] : result.skipped) {
    document["skipped"].push_back({{"reason", reason}, {"n", n}});
    rows += n;
  }
  document["rows_read"] = rows;
  return document;
}

}  // namespace moesim
