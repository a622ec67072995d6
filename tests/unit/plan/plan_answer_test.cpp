// What a plan answers when its search leaves nothing, without a simulation.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "sim/plan/train_plan.h"

namespace moesim::test {
namespace {

TrainPlan empty_plan() {
  TrainPlan plan;
  plan.devices = 64;
  return plan;
}

std::string answer(const TrainPlan& plan) { return to_json(plan).at("answer"); }

TEST_CASE("a search that leaves no legal layout says which rule did", "[plan]") {
  TrainPlan plan = empty_plan();
  CHECK(answer(plan) == "no legal layout: no tp, cp, pp, etp and ep of `search` divide 64 devices");
  plan.search.maps_out = {{"global batch over dp", 3}, {"layers over pp", 2}};
  CHECK(answer(plan) ==
        "no legal layout: global batch over dp (3 rank maps), layers over pp (2 rank maps)");
  plan.search.maps = 1;
  CHECK(answer(plan).find("legal rank maps") != std::string::npos);
  plan.search.layouts = 5;
  CHECK(answer(plan) == "none of 5 layouts fits");
}

}  // namespace
}  // namespace moesim::test
