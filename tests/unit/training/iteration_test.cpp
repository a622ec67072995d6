// Laws of a simulated iteration, whatever the figures.
#include <catch2/catch.hpp>

#include "models/network/moe_model_size.h"
#include "sim/core/config.h"
#include "sim/core/error.h"
#include "tests/unit/training/training_scenario.h"

using namespace moesim;
using namespace moesim::testing;
using Json = nlohmann::json;

namespace {

double sum_of_tasks(const TrainingRun& run) {
  double sum = 0.0;
  for (const TaskTimes& task : run.result.tasks) {
    sum += task.end_s - task.start_s;
  }
  return sum;
}

double seconds_of_kernels(const TrainingRun& run) {
  double sum = 0.0;
  for (const Task& task : run.graph.step.graph.tasks()) {
    const std::size_t first = run.graph.step.first_kernel[static_cast<std::size_t>(task.program)];
    for (std::size_t k = 0; k < run.graph.step.graph.segments(task.program).size(); ++k) {
      sum += run.graph.step.kernels[first + k].alone_s;
    }
  }
  return sum;
}

}  // namespace

TEST_CASE("one device runs its kernels one after the other", "[training][unit]") {
  const TrainingRun run = run_of(one_device());
  CHECK(run.result.makespan_s == Approx(seconds_of_kernels(run)).epsilon(1e-12));
  const TrainingReport report = training_report(run);
  CHECK(report.bubble_fraction == Approx(0.0).margin(1e-12));
  CHECK(report.exposed_communication_s() == 0.0);
  CHECK_FALSE(report.fits());
}

TEST_CASE("an iteration takes no less than its busiest stage and no more than all tasks",
          "[training][unit]") {
  const TrainingRun run = run_of(training_scenario());
  const TrainingReport report = training_report(run);
  for (const StageReport& stage : report.stages) {
    CHECK(report.step_s >= stage.busy_s);
    CHECK(stage.busy_s + stage.idle_s == Approx(report.step_s));
  }
  CHECK(report.step_s <= sum_of_tasks(run));
}

TEST_CASE("FLOPs are three times the forward pass's", "[training][unit]") {
  const TrainingRun run = run_of(one_device());
  const TrainingSystem& system = *run.system;
  const ExpertTraffic traffic(system, 1);
  double forward = 0.0;
  for (const WorkPiece& piece :
       part_work(system.model(), system.parts().front(), Pass::forward, system.workload(), {})) {
    for (const TrainKernel& kernel : kernels_of(system, traffic, piece.run, 0)) {
      forward += kernel.copies * flops_of(kernel.op.shape).si();
    }
  }
  // Every expert's rows are multiplied, not one expert's: by the network's parameters, attention's
  // scores left out.
  const double tokens = 2048;
  const double by_parameters = 2 * tokens * count_parameters(system.model()).active();
  CHECK(forward > 0.95 * by_parameters);
  CHECK(forward < 1.15 * by_parameters);
  CHECK(run.graph.model_flops == Approx(3 * 2 * forward).epsilon(1e-12));  // two micro-batches

  Json full = one_device();
  full["workload"]["recompute"] = "full";
  const TrainingRun again = run_of(full);
  CHECK(again.graph.model_flops == Approx(run.graph.model_flops).epsilon(1e-12));
  CHECK(again.graph.hardware_flops > 1.2 * run.graph.hardware_flops);
  CHECK(again.result.makespan_s > run.result.makespan_s);

  Json one_by_one = one_device();
  one_by_one["workload"]["global_batch"] = 8;
  CHECK(run_of(one_by_one).graph.model_flops == Approx(4 * run.graph.model_flops).epsilon(1e-12));
}

TEST_CASE("FLOPs are those of the model's parameters, whatever the layout", "[training][unit]") {
  // Two FLOPs per parameter that a token uses, and causal attention; norms aside.
  const MoeModel& model = run_of(one_device()).system->model();
  const double tokens = 128.0 * 2048;
  const double attention = 2.0 * 2048 * 4096 * 32;  // q k' and p v over half of 2,048 keys
  const double expected =
      3 * tokens * (2 * count_parameters(model).active_without_embedding() + attention);
  struct Layout {
    int tp, cp, dp, etp, ep, edp;
  };
  for (const Layout& l : {Layout{1, 1, 16, 1, 8, 2}, Layout{1, 1, 16, 1, 1, 16},
                          Layout{2, 1, 8, 1, 4, 4}, Layout{2, 2, 4, 2, 2, 4}}) {
    Json scenario = training_scenario();
    scenario["parallelism"] = {{"attention", {{"tp", l.tp}, {"cp", l.cp}, {"dp", l.dp}, {"pp", 4}}},
                               {"experts", {{"etp", l.etp}, {"ep", l.ep}, {"edp", l.edp}}}};
    INFO(scenario["parallelism"].dump());
    CHECK(run_of(scenario).graph.model_flops == Approx(expected).epsilon(2e-3));
  }
}

TEST_CASE("ranks that are alike may be simulated once", "[training][unit]") {
  Json scenario = training_scenario();
  scenario["workload"]["global_batch"] = 64;
  SECTION("experts over a node") {}
  SECTION("tensor parallel, in sequence slices") {
    scenario["parallelism"] = {{"attention", {{"tp", 2}, {"dp", 8}, {"pp", 4}}},
                               {"experts", {{"ep", 8}, {"edp", 2}}}};
  }
  SECTION("weights gathered for every pass") { scenario["workload"]["optimizer"] = {{"zero", 3}}; }
  const TrainingRun folded = run_of(scenario);
  scenario["run"]["fold"] = "off";
  const TrainingRun all = run_of(scenario);
  CHECK(all.graph.step.devices == 64);
  CHECK(folded.graph.step.devices == 4);
  if (scenario["workload"].contains("optimizer")) {
    // Exchanges of both kinds of groups meet on links: the same shares, summed in another order.
    CHECK(folded.result.makespan_s == Approx(all.result.makespan_s).epsilon(1e-14).margin(0));
  } else {
    CHECK(folded.result.makespan_s == all.result.makespan_s);
  }
  CHECK(folded.graph.model_flops == Approx(all.graph.model_flops).epsilon(1e-12));
  CHECK(training_report(folded).energy_j == Approx(training_report(all).energy_j).epsilon(1e-9));
}

TEST_CASE("what is overlapped does not take longer", "[training][unit]") {
  const double beside = seconds_of(training_scenario());
  Json scenario = training_scenario();
  scenario["policy"]["overlap_gradients"] = false;
  scenario["policy"]["overlap_parameters"] = false;
  CHECK(seconds_of(scenario) > beside);
}

TEST_CASE("a report says which kernels hide which communication", "[training][unit]") {
  const Json report = to_json(training_report(run_of(training_scenario())), Json::object());
  const Json& hidden = report.at("breakdown").at("hidden");
  // Gradients are reduced beside the last backward pass, whose kernels are mostly experts'.
  CHECK(hidden.at("gradient_reduction").at("under").at("experts_s") > 0.0);
  double sum = 0.0;
  for (const auto& [name, row] : hidden.items()) {
    CAPTURE(name);
    double under = 0.0;
    for (const Json& seconds : row.at("under")) {
      under += seconds.get<double>();
    }
    CHECK(row.at("hidden_s").get<double>() == Approx(under).epsilon(1e-12));
    CHECK(row.at("exposed_s") == report.at("breakdown").at(name + "_s"));
    sum += under;
  }
  CHECK(report.at("metrics").at("hidden_communication_s").get<double>() ==
        Approx(sum).epsilon(1e-9));
}

TEST_CASE("skewed routing costs time", "[training][unit]") {
  Json scenario = training_scenario();
  scenario["workload"]["global_batch"] = 32;
  const double balanced = seconds_of(scenario);
  scenario["workload"]["routing"] = "power_law:0.8";
  const TrainingRun skewed = run_of(scenario);
  CHECK(skewed.graph.max_over_mean > 1.2);
  CHECK(skewed.result.makespan_s > balanced);
}

TEST_CASE("training scenarios are read strictly", "[training][unit]") {
  const auto message = [](const Json& scenario) -> std::string {
    try {
      TrainingSystem(parse_train_scenario(scenario, "t.json"), training_library());
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "";
  };
  Json scenario = training_scenario();
  CHECK(message(scenario).empty());
  scenario["workload"]["global_batch"] = 100;
  CHECK(message(scenario).find("t.json#/workload/global_batch") != std::string::npos);
  scenario = training_scenario();
  scenario["workload"]["recompute"] = {{"kind", "selective"}, {"modules", {"nothing"}}};
  CHECK(message(scenario).find("mla_up_proj") != std::string::npos);
  scenario = training_scenario();
  scenario["policy"]["pipelin"] = "1f1b";
  CHECK(message(scenario).find("t.json#/policy/pipelin") != std::string::npos);
  scenario = training_scenario();
  scenario["parallelism"]["attention"]["pp"] = 2;
  CHECK(message(scenario).find("32 ranks on 64 devices") != std::string::npos);
}

TEST_CASE("shipped training scenarios parse and their names exist", "[training][unit]") {
  for (const char* name : {"mixtral_8x7b_train_64_h100", "deepseek_v3_train_2048_h800"}) {
    const std::string path =
        std::string(MOESIM_SOURCE_DIR).append("/sim/scenarios/").append(name).append(".json");
    const Json document = read_json_file(path);
    REQUIRE(is_training(document));
    const TrainingSystem system(parse_train_scenario(document, path), training_library());
    CHECK(system.topology().devices() == system.ranks().ranks());
  }
}
