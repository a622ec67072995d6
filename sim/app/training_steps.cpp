#include "sim/app/training_steps.h"

#include <algorithm>
#include <mutex>
#include <nlohmann/json.hpp>

#include "models/network/moe_model_size.h"
#include "sim/app/simulate_training.h"
#include "sim/core/catalog.h"
#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/core/thread_pool.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

constexpr double k_naive_mfu = 0.4;

// The catalog's model, or one with more or fewer of the layers that it has most of.
Json model_of(const TrainingPoint& point, const Library& library, const CatalogFolders& catalogs) {
  if (point.layers == 0) {
    return point.model;
  }
  const MoeModel& model = library.model(point.model, point.model)->model;
  const auto more = static_cast<std::int64_t>(point.layers) -
                    (static_cast<std::int64_t>(model.layers.size()) - model.mtp_layers);
  if (more == 0) {
    return point.model;
  }
  Json document = read_json_file(find_in_catalog(point.model, catalogs.models));
  const auto repeat = [](const Json& block) { return block.value("repeat", std::int64_t{1}); };
  auto& blocks = document["blocks"];
  const auto most = std::ranges::max_element(
      blocks, [&](const Json& a, const Json& b) { return repeat(a) < repeat(b); });
  (*most)["repeat"] = repeat(*most) + more;
  return document;
}

double naive_seconds(const TrainingPoint& point, const Library& library, const Json& scenario) {
  const double parameters =
      count_parameters(library.model(point.model, point.model)->model).active();
  const auto cluster = library.cluster(scenario["hardware"], point.id);
  const double rate = cluster->cluster.node.device.peak.at(DType::bf16).si();
  return 6 * parameters * point.tokens() / (k_naive_mfu * rate * static_cast<double>(point.gpus));
}

FitRow fit_row(const TrainingPoint& point, Json scenario, const Library& library,
               const std::string& name) {
  FitRow row{.measured_s = point.seconds};
  std::size_t next = 0;
  const Json framework = scenario["policy"]["framework"];
  for (const double host : k_fit_hosts) {
    for (const double slowdown : k_fit_slowdowns) {
      scenario["policy"]["framework"] = {
          {"name", framework}, {"host_per_kernel_us", host}, {"slowdown", slowdown}};
      row.simulated_s.at(next++) =
          simulate_training(parse_train_scenario(scenario, name), library, {}).report.step_s;
    }
  }
  return row;
}

}  // namespace

std::vector<JudgedStep> predict_training_steps(const std::vector<TrainingPoint>& points,
                                               const ValidateTrainingOptions& options) {
  const Library library(options.catalogs);
  std::vector<JudgedStep> steps(points.size());
  std::mutex progress;
  std::size_t done = 0;
  parallel_for(points.size(), options.threads, [&](std::size_t i) {
    JudgedStep& step = steps[i];
    step.point = points[i];
    const std::string name = options.file + ":" + std::to_string(step.point.line);
    const Json scenario =
        training_scenario(step.point, model_of(step.point, library, options.catalogs));
    step.naive_s = naive_seconds(step.point, library, scenario);
    try {
      const TrainingReport report =
          simulate_training(parse_train_scenario(scenario, name), library, {}).report;
      step.predicted_s = report.step_s;
      step.exposed_s = report.exposed_communication_s();
      step.bubble = report.bubble_fraction;
      if (options.refit) {
        step.fit = fit_row(step.point, scenario, library, name);
      }
    } catch (const ConfigError& error) {
      // What the simulator does not have is a rule like any other, and is counted as such.
      step.refused = error.what();
    }
    if (options.progress) {
      const std::lock_guard guard(progress);
      options.progress(static_cast<double>(++done) / static_cast<double>(points.size()));
    }
  });
  return steps;
}

}  // namespace moesim
