#include "sim/training/frameworks.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "sim/core/error.h"
#include "sim/training/backward_ops.h"
#include "tests/unit/training/training_scenario.h"

using namespace moesim;
using namespace moesim::testing;

namespace {

double seconds_with(const nlohmann::json& framework, int sequence) {
  nlohmann::json scenario = one_device();
  scenario["workload"]["sequence"] = sequence;
  scenario["policy"]["framework"] = framework;
  return seconds_of(scenario);
}

nlohmann::json costs(const char* name, double host_us, double slowdown) {
  return {{"name", name}, {"host_per_kernel_us", host_us}, {"slowdown", slowdown}};
}

}  // namespace

TEST_CASE("a host that launches slowly bounds small batches and not large ones",
          "[training][unit]") {
  const double tiny = seconds_with(costs("megatron", 2000, 1), 16);
  // The host's time alone.
  CHECK(seconds_with(costs("megatron", 2000, 1), 32) == Approx(tiny).epsilon(0.01));
  CHECK(tiny > 2 * seconds_with("none", 16));
  CHECK(seconds_with(costs("megatron", 50, 1), 8192) ==
        Approx(seconds_with(costs("megatron", 0, 1), 8192)).epsilon(0.01));
}

TEST_CASE("what is captured does not wait for the host", "[training][unit]") {
  const auto captured = [](const char* name) { return seconds_with(costs(name, 2000, 1), 16); };
  CHECK(captured("megatron_router_graphs") < 0.97 * captured("megatron"));
  CHECK(captured("megatron_graphs") < 0.8 * captured("megatron_router_graphs"));
  CHECK(captured("megatron_full_graphs") ==
        Approx(seconds_with(costs("megatron", 0, 1), 16)).epsilon(1e-9));
}

TEST_CASE("kernels of a framework take so many times what their laws say", "[training][unit]") {
  const double as_laws = seconds_with(costs("megatron", 0, 1), 4096);
  CHECK(as_laws == Approx(seconds_with("none", 4096)));  // bf16: nothing is quantised
  CHECK(seconds_with(costs("megatron", 0, 1.5), 4096) == Approx(1.5 * as_laws).epsilon(0.02));
}

TEST_CASE("operands of narrow products are made by kernels of their own", "[training][unit]") {
  const GemmOp product{.m = 100, .n = 30, .k = 20, .dtype = DType::fp8};
  const Op op{"product", product};
  // bf16 read, a narrow value written for each of two orders.
  CHECK(quantised_operand(op, KernelPass::forward).si() == 100 * 20 * (2 + 2));
  CHECK(quantised_operand(op, KernelPass::input_grad).si() == 100 * 30 * (2 + 2));
  CHECK(quantised_operand(op, KernelPass::weight_grad).si() == 0);
  GemmOp wide = product;
  wide.dtype = DType::bf16;
  CHECK(quantised_operand({"product", wide}, KernelPass::forward).si() == 0);
}

TEST_CASE("frameworks are known by name", "[training][unit]") {
  CHECK(training_frameworks().front().name == "none");
  CHECK_THROWS_WITH(seconds_with("jax", 16), Catch::Contains("megatron_graphs"));
}

TEST_CASE("an iteration's report names Megatron's arguments of its layout", "[training][unit]") {
  const TrainingReport report = training_report(run_of(training_scenario()));
  const auto has = [&report](std::string_view argument) {
    return std::ranges::find(report.megatron_arguments, argument) !=
           report.megatron_arguments.end();
  };
  CHECK(has("--pipeline-model-parallel-size 4"));
  CHECK(has("--expert-model-parallel-size 8"));
  CHECK(has("--use-distributed-optimizer"));
}
