// Relations between iterations, and of the parts that they are made of.
#include <catch2/catch.hpp>

#include "sim/engine/exchange/collective_links.h"
#include "sim/training/group_links.h"
#include "sim/training/pass_steps.h"
#include "tests/support/graph_edit.h"
#include "tests/unit/training/training_scenario.h"

using namespace moesim;
using namespace moesim::testing;
using Json = nlohmann::json;

namespace {

double makespan_of(const TaskGraph& graph) {
  return make_fast_backend()->run(graph, false).makespan_s;
}

double edited(const TrainingRun& run, double rates) {
  TaskGraph graph;
  test::append(graph, run.graph.step.graph, {.rate_factor = rates, .latency_factor = 0.0});
  return makespan_of(graph);
}

}  // namespace

TEST_CASE("twice the rates, half the time", "[training][unit]") {
  Json scenario = training_scenario();
  scenario["workload"]["global_batch"] = 64;
  const TrainingRun run = run_of(scenario);
  CHECK(edited(run, 2.0) == Approx(edited(run, 1.0) / 2).epsilon(1e-12));
}

TEST_CASE("without overlap a device does one thing after the other", "[training][unit]") {
  Json scenario = training_scenario();
  scenario["hardware"]["nodes"] = 1;
  scenario["workload"]["global_batch"] = 16;
  scenario["parallelism"] = {{"attention", {{"dp", 8}}}, {"experts", {{"ep", 8}}}};
  scenario["policy"] = {{"overlap_gradients", false}, {"overlap_parameters", false}};
  const TrainingRun run = run_of(scenario);
  double end_s = 0.0;
  for (const TaskTimes& task : run.result.tasks) {
    CHECK(task.start_s == end_s);
    end_s = task.end_s;
  }
  CHECK(run.result.makespan_s == end_s);
}

TEST_CASE("pipeline schedules change the order of the work, not the work", "[training][unit]") {
  Json scenario = training_scenario();
  const TrainingRun usual = run_of(scenario);
  for (const char* name : {"gpipe", "zb_h1", "zb_h2", "dualpipe"}) {
    INFO(name);
    scenario["policy"]["pipeline"] = name;
    const TrainingRun other = run_of(scenario);
    CHECK(other.graph.model_flops == Approx(usual.graph.model_flops).epsilon(1e-12));
  }
  scenario["policy"]["pipeline"] = "interleaved";
  scenario["parallelism"]["attention"]["vpp"] = 2;
  const TrainingRun interleaved = run_of(scenario);
  CHECK(interleaved.graph.model_flops == Approx(usual.graph.model_flops).epsilon(1e-12));
  CHECK(interleaved.result.makespan_s < usual.result.makespan_s);
}

TEST_CASE("exchanges beside another pass's kernels are hidden", "[training][unit]") {
  Json scenario = training_scenario();
  scenario["policy"]["pipeline"] = "interleaved";
  scenario["parallelism"]["attention"]["vpp"] = 2;
  const TrainingReport serial = training_report(run_of(scenario));
  scenario["policy"]["overlap"] = "one_f_one_b";
  const TrainingReport paired = training_report(run_of(scenario));
  const auto exposed = [](const TrainingReport& report) {
    return report.mean.busy_s.at(static_cast<std::size_t>(Category::dispatch)) +
           report.mean.busy_s.at(static_cast<std::size_t>(Category::combine));
  };
  CHECK(exposed(paired) < 0.7 * exposed(serial));
  CHECK(paired.mean.hidden_communication_s > serial.mean.hidden_communication_s);
}

TEST_CASE("more layouts fold to the bit", "[training][unit]") {
  Json scenario = training_scenario();
  scenario["workload"]["global_batch"] = 32;
  scenario["parallelism"] = {{"attention", {{"tp", 2}, {"cp", 2}, {"dp", 4}, {"pp", 4}}},
                             {"experts", {{"etp", 2}, {"ep", 4}, {"edp", 2}}}};
  const double folded = seconds_of(scenario);
  scenario["run"]["fold"] = "off";
  CHECK(seconds_of(scenario) == folded);
}

TEST_CASE("states in the host's memory make the update slower", "[training][unit]") {
  const double usual = seconds_of(training_scenario());
  Json scenario = training_scenario();
  scenario["workload"]["optimizer"] = {{"offload", true}};
  CHECK(seconds_of(scenario) > usual);
}

TEST_CASE("tokens beyond the capacity cost nothing", "[training][unit]") {
  Json scenario = training_scenario();
  scenario["workload"]["global_batch"] = 32;
  scenario["workload"]["routing"] = "power_law:0.8";
  const TrainingRun dropless = run_of(scenario);
  scenario["workload"]["capacity_factor"] = 1.0;
  const TrainingRun dropping = run_of(scenario);
  CHECK(dropless.graph.dropped_share == 0.0);
  CHECK(dropping.graph.dropped_share > 0.02);
  CHECK(dropping.graph.max_over_mean < dropless.graph.max_over_mean);
  CHECK(dropping.result.makespan_s < dropless.result.makespan_s);
}

TEST_CASE("gradients of a product are two products", "[training][unit]") {
  const Op product{"up", GemmOp{.m = 100, .n = 30, .k = 7}};
  const auto inputs = input_gradient(product);
  const auto weights = weight_gradient(product, DType::fp32);
  REQUIRE(inputs.size() == 1);
  REQUIRE(weights.size() == 1);
  const auto& dgrad = std::get<GemmOp>(inputs.front().op.shape);
  CHECK(std::array{dgrad.m, dgrad.n, dgrad.k} == std::array<std::int64_t, 3>{100, 7, 30});
  const auto& wgrad = std::get<GemmOp>(weights.front().op.shape);
  CHECK(std::array{wgrad.m, wgrad.n, wgrad.k} == std::array<std::int64_t, 3>{7, 30, 100});
  CHECK(weights.front().more_traffic.si() == 30 * 7 * 6);  // 8 bytes instead of 2
  CHECK(weight_gradient({"norm", MemoryOp{Bytes(8), Bytes(4)}}, DType::fp32).empty());
  const auto attention = input_gradient({"attention", AttentionOp{.head_dim = 128}});
  CHECK(attention.front().work == 2.5);
}

TEST_CASE("groups follow Megatron's order of ranks", "[training][unit]") {
  Parallelism p;
  p.attention_tp = 2;
  p.attention_cp = 2;
  p.attention_dp = 2;
  p.expert_ep = 4;
  p.expert_dp = 2;
  using Groups = std::vector<std::vector<int>>;
  CHECK(groups_of(RankGroup::tensor, p) == Groups{{0, 1}, {2, 3}, {4, 5}, {6, 7}});
  CHECK(groups_of(RankGroup::context, p) == Groups{{0, 2}, {1, 3}, {4, 6}, {5, 7}});
  CHECK(groups_of(RankGroup::data, p) == Groups{{0, 2, 4, 6}, {1, 3, 5, 7}});
  CHECK(groups_of(RankGroup::experts, p) == Groups{{0, 1, 2, 3}, {4, 5, 6, 7}});
  CHECK(groups_of(RankGroup::expert_data, p) == Groups{{0, 4}, {1, 5}, {2, 6}, {3, 7}});
}

TEST_CASE("a group in a node takes as long as in a step", "[training][unit]") {
  const TrainingSystem system(parse_train_scenario(training_scenario(), "t.json"),
                              training_library());
  const std::vector<std::string> names{"nccl"};
  const FoundCollective law = find_collective(system.comm_profiles(), system.comm_target(),
                                              CollectiveOp::all_gather, names);
  const std::vector<std::vector<int>> group{{0, 1, 2, 3, 4, 5, 6, 7}};
  const Bytes bytes(1e8);
  const CollectiveCost one =
      lower_collective(system.topology(), law, CollectiveOp::all_gather, group.front(), bytes);
  const CollectiveCost many =
      lower_groups(system.topology(), law, CollectiveOp::all_gather, group, bytes);
  CHECK(many.latency.si() == Approx(one.latency.si()));
  REQUIRE(many.loads.size() == one.loads.size());
  for (std::size_t i = 0; i < one.loads.size(); ++i) {
    CHECK(many.loads[i].link == one.loads[i].link);
    CHECK(many.loads[i].bytes == Approx(one.loads[i].bytes));
  }
}

TEST_CASE("a group over nodes uses every rank's NIC", "[training][unit]") {
  const TrainingSystem system(parse_train_scenario(training_scenario(), "t.json"),
                              training_library());
  const std::vector<std::string> names{"nccl"};
  const FoundCollective law = find_collective(system.comm_profiles(), system.comm_target(),
                                              CollectiveOp::all_gather, names);
  std::vector<std::vector<int>> group(1);
  for (int rank = 0; rank < 16; ++rank) {
    group.front().push_back(rank);
  }
  CollectiveCost cost =
      lower_groups(system.topology(), law, CollectiveOp::all_gather, group, Bytes(1e8));
  double nic = 0.0;
  int nics = 0;
  for (const LinkLoad& load : cost.loads) {
    if (system.topology().links()[static_cast<std::size_t>(load.link)].kind == LinkKind::nic_up) {
      nic = load.payload;
      ++nics;
    }
  }
  CHECK(nics == 16);
  CHECK(nic == Approx(1e8 * 15 / 16 / 8));
  keep_slowest_links(system.topology(), cost);
  CHECK(cost.loads.size() <= 8);
}

TEST_CASE("passes take turns where each can begin first", "[training][unit]") {
  const PassStep kernel{.runs = {KernelRun{}}};
  const PassStep exchange{};
  const std::vector<PassStep> steps{kernel, exchange, kernel};
  const std::vector<double> seconds{1.0, 1.0, 1.0};
  // b's kernel, a's beside b's exchange, b's beside a's exchange, a's.
  const std::vector<bool> turns = take_turns(steps, seconds, steps, seconds);
  CHECK(turns == std::vector<bool>{true, true, false, true, false, false});
}
