#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "sim/engine/results/law_explanation.h"
#include "sim/engine/results/step_report.h"
#include "tests/unit/engine/small_scenario.h"

namespace moesim {
namespace {

using Json = nlohmann::json;
using testing::Ran;
using testing::small_scenario;

Json report_of(const Ran& run) {
  return to_json(step_report(run.simulation, {run.step_s()}, run.step),
                 run.simulation.scenario().effective);
}

bool warns_of(const Json& report, const std::string& text) {
  return std::ranges::any_of(report.at("warnings"), [&text](const Json& warning) {
    return warning.get<std::string>().find(text) != std::string::npos;
  });
}

}  // namespace

TEST_CASE("a shortcut that no schedule uses is warned of", "[results][unit]") {
  Json longcat = small_scenario(8, 2);
  longcat["model"] = "longcat-flash";
  CHECK(warns_of(report_of(Ran(longcat)), "shortcut: the routed experts of 28 layers"));
  CHECK_FALSE(warns_of(report_of(Ran(small_scenario(8, 2))), "shortcut"));
}

TEST_CASE("the all-to-all says how experts' rows lie, and the report whose law knows it",
          "[results][unit]") {
  const auto experts = [](const char* all_to_all, int ranks, const char* precision) {
    Json scenario = small_scenario(ranks, 16);
    scenario["policy"] = {
        {"all_to_all", all_to_all}, {"precision", precision}, {"kernels", "trtllm"}};
    const Json report = report_of(Ran(scenario));
    for (const Json& row : report.at("provenance").at("kernels")) {
      if (row.at("family").get<std::string>().starts_with("moe/")) {
        return std::pair(row, warns_of(report, "law of a fused kernel stands in"));
      }
    }
    throw std::runtime_error("no experts");
  };
  auto [row, stands_in] = experts("deepep_low_latency", 8, "fp8_block");
  CHECK(row.at("family") == "moe/fp8_block/masked");
  CHECK(row.at("law") == "moe/fp8_block/masked");
  CHECK(row.at("profile") == "h100_sxm/sglang-0.5.10");
  CHECK(row.at("basis") == "calibrated");
  CHECK_FALSE(stands_in);
  std::tie(row, stands_in) = experts("deepep_normal", 8, "fp8_block");
  CHECK(row.at("law") == "moe/fp8_block/contiguous");
  std::tie(row, stands_in) = experts("rank_dedup", 8, "fp8_block");
  CHECK(row.at("family") == "moe/fp8_block");
  CHECK(row.at("profile") == "h100_sxm/trtllm-1.3.0rc20");
  std::tie(row, stands_in) = experts("deepep_low_latency", 1, "fp8_block");
  CHECK(row.at("layout") == "fused");  // one rank exchanges nothing
  // Nobody measured masked bf16 products.
  std::tie(row, stands_in) = experts("deepep_low_latency", 8, "bf16");
  CHECK(row.at("family") == "moe/bf16/masked");
  CHECK(row.at("layout") == "masked");
  CHECK(row.at("law_layout") == "fused");
  CHECK(row.at("basis") == "transferred");
  CHECK(stands_in);
}

TEST_CASE("laws of the products alone get the passes around them", "[results][unit]") {
  Json scenario = small_scenario(8, 16);
  scenario["model"] = "deepseek-v3";
  scenario["policy"] = {{"precision", "fp8_block"}, {"all_to_all", "deepep_normal"}};
  const auto labels = [&](const char* cluster) {
    scenario["hardware"]["cluster"] = cluster;
    const Ran run(scenario);
    std::set<std::string_view> found;
    for (const Kernel& kernel : run.step.lowered.kernels) {
      if (kernel.category == Category::experts) {
        found.insert(kernel.label);
      }
    }
    return found;
  };
  CHECK(labels("h100-8x-ib400") == std::set<std::string_view>{"experts"});
  CHECK(labels("h800-8x-ib400") == std::set<std::string_view>{"experts", "experts_scatter",
                                                              "experts_activation",
                                                              "experts_gather"});
  scenario["policy"]["all_to_all"] = "deepep_low_latency";
  CHECK(labels("h800-8x-ib400") == std::set<std::string_view>{"experts", "experts_activation"});
}

TEST_CASE("an explanation has the time that every law says", "[results][unit]") {
  const Ran run(small_scenario(8, 16));
  const auto rows = explain_laws(run.simulation.kernels(), run.step.lowered);
  REQUIRE(rows.size() >= 5);
  CHECK(std::ranges::is_sorted(rows, {}, &LawExplanation::family));
  const Json json = explanations_json(rows);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    CAPTURE(rows[i].family);
    const Json& answer = json.at(i).at("answers");
    CHECK(answer.at("seconds").get<double>() ==
          run.simulation.kernels().estimate(rows[i].shape).alone().si());
    CHECK(answer.at("profile") == run.simulation.kernels().provenance(rows[i].family)->profile);
    CHECK(json.at(i).at("runners_up").size() + 1 == rows[i].options.size());
    CHECK(json.at(i).at("runners_up").back().at("profile") == "spec_sheet");
    for (const Kernel& kernel : run.step.lowered.kernels) {
      if (run.step.lowered.families.at(static_cast<std::size_t>(kernel.family)).name ==
          rows[i].family) {
        CHECK(kernel.alone_s <= answer.at("seconds").get<double>());
      }
    }
  }
}

TEST_CASE("a report's rates and parts follow from its step", "[results][unit]") {
  const Ran run(small_scenario(8, 16));
  const Json report = report_of(run);
  const Json& m = report.at("metrics");
  const double step = m.at("step_s");
  CHECK(step == run.step_s());
  CHECK(m.at("tpot_s") == step);
  CHECK(m.at("output_tokens_per_s").get<double>() == Approx(8 * 16 / step));
  CHECK(m.at("output_tokens_per_s_per_device").get<double>() == Approx(16 / step));
  CHECK(m.at("output_tokens_per_s_per_node").get<double>() == Approx(8 * 16 / step));
  CHECK(m.at("balancedness").get<double>() * m.at("max_over_mean").get<double>() == Approx(1.0));
  CHECK(m.at("imbalance_ratio").get<double>() + 1 == Approx(m.at("max_over_mean").get<double>()));
  const double device_hours = 8 * step / 3600;
  CHECK(m.at("cost_usd").get<double>() == Approx(device_hours * 2.69).epsilon(1e-3));
  CHECK(m.at("cost_usd_per_million_output_tokens").get<double>() ==
        Approx(m.at("cost_usd").get<double>() / (8 * 16) * 1e6));
  const Json& breakdown = report.at("breakdown");
  CHECK(m.at("exposed_communication_s").get<double>() ==
        Approx(breakdown.at("dispatch_s").get<double>() + breakdown.at("combine_s").get<double>() +
               breakdown.at("tensor_parallel_s").get<double>()));
  CHECK(m.at("bubble_fraction").get<double>() ==
        Approx(report.at("mean_device").at("waiting_s").get<double>() / step));
  // 26 MoE layers of 27 move 8 ranks' tokens; layers follow each other without a gap.
  const Json& layers = report.at("layers");
  REQUIRE(layers.size() == 27);
  CHECK(layers[0].at("kind") == "dense");
  for (std::size_t l = 1; l < layers.size(); ++l) {
    CHECK(layers[l].at("kind") == "moe");
    CHECK(layers[l].at("start_s") == layers[l - 1].at("end_s"));
  }
  CHECK(layers[26].at("end_s") == step);
}

// 8 devices idle at 70 W, 700 W while a kernel runs; links add their part per byte.
TEST_CASE("energy is power times time of kernels and of gaps", "[results][unit]") {
  const Ran run(small_scenario(8, 16));
  const StepMetrics m = step_metrics(run.simulation, {run.step_s()}, run.step);
  double links = 0.0;
  const auto& topology = run.simulation.topology().links();
  for (std::size_t l = 0; l < topology.size(); ++l) {
    links += topology[l].joules_per_byte * run.step.lowered.link_bytes[l];
  }
  const double kernels = m.mean_device.kernels_s;
  CHECK(kernels > 0.5 * run.step_s());
  CHECK(m.energy_j ==
        Approx(8 * (70 * (run.step_s() - kernels) + 700 * kernels) + links).epsilon(1e-9));
}

// Every link's bytes are carried once: what leaves devices arrives.
TEST_CASE("links of one kind add up", "[results][unit]") {
  const Ran run(small_scenario(16, 8));
  double up = 0.0;
  double down = 0.0;
  for (const LinkUse& use : link_use(run.simulation.topology(), run.step)) {
    CAPTURE(use.busiest);
    CHECK(use.count > 0);
    CHECK(use.mean_utilisation <= use.max_utilisation);
    CHECK(use.max_utilisation <= 1.0);
    up += use.kind == LinkKind::device_up ? use.bytes : 0.0;
    down += use.kind == LinkKind::device_down ? use.bytes : 0.0;
  }
  CHECK(up > 0);
  CHECK(up == Approx(down));
}

TEST_CASE("simulations side by side in two threads give the same bytes", "[results][property]") {
  const std::array<Json, 2> scenarios{small_scenario(8, 16), small_scenario(16, 8)};
  std::array<std::string, 2> alone;
  std::array<std::string, 2> beside;
  const auto report = [&scenarios](std::size_t i, std::string& text) {
    for (int repeat = 0; repeat < 3; ++repeat) {
      text += report_of(Ran(scenarios.at(i))).dump();
    }
  };
  for (std::size_t i = 0; i < 2; ++i) {
    report(i, alone.at(i));
  }
  {
    std::jthread other([&] { report(1, beside[1]); });
    report(0, beside[0]);
  }
  CHECK(alone[0] == beside[0]);
  CHECK(alone[1] == beside[1]);
  CHECK(alone[0] != alone[1]);
}

}  // namespace moesim
