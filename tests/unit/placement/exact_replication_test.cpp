#include "placement/replication/exact_replication.h"

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>

#include <catch2/catch.hpp>

#include "placement/evaluate.h"
#include "sim/core/config.h"
#include "sim/core/rng.h"

using namespace moesim;

namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

using Held = std::vector<std::vector<int>>;

// The busiest device by definition: even shares, or max over sets of experts of load / devices.
double busiest(const std::vector<double>& loads, const Held& held, ReplicaSplit split) {
  if (split == ReplicaSplit::even) {
    std::vector<int> copies(loads.size(), 0);
    for (const auto& device : held) {
      for (const int e : device) {
        ++copies[at(e)];
      }
    }
    double most = 0.0;
    for (const auto& device : held) {
      double sum = 0.0;
      for (const int e : device) {
        sum += loads[at(e)] / copies[at(e)];
      }
      most = std::max(most, sum);
    }
    return most;
  }
  double most = 0.0;
  for (unsigned set = 1; set < (1U << loads.size()); ++set) {
    double load = 0.0;
    for (std::size_t e = 0; e < loads.size(); ++e) {
      load += (set >> e) & 1U ? loads[e] : 0.0;
    }
    int devices = 0;
    for (const auto& device : held) {
      devices += std::ranges::any_of(device, [&](int e) { return (set >> at(e)) & 1U; }) ? 1 : 0;
    }
    most = std::max(most, load / devices);
  }
  return most;
}

// All ways to fill all slots, devices interchangeable.
double enumerate(const std::vector<double>& loads, int devices, int slots, ReplicaSplit split) {
  Held kinds;  // sorted multisets of experts of one device
  std::vector<int> kind;
  const std::function<void(int)> grow = [&](int first) {
    if (kind.size() == at(slots)) {
      kinds.push_back(kind);
      return;
    }
    for (int e = first; e < static_cast<int>(loads.size()); ++e) {
      kind.push_back(e);
      grow(e);
      kind.pop_back();
    }
  };
  grow(0);
  double best = std::numeric_limits<double>::infinity();
  Held held;
  const std::function<void(std::size_t)> fill = [&](std::size_t first) {
    if (held.size() == at(devices)) {
      std::vector<bool> placed(loads.size(), false);
      for (const auto& device : held) {
        for (const int e : device) {
          placed[at(e)] = true;
        }
      }
      if (std::ranges::find(placed, false) == placed.end()) {
        best = std::min(best, busiest(loads, held, split));
      }
      return;
    }
    for (std::size_t k = first; k < kinds.size(); ++k) {
      held.push_back(kinds[k]);
      fill(k);
      held.pop_back();
    }
  };
  fill(0);
  return best;
}

void check_answer(const std::vector<double>& loads, int devices, int slots, ReplicaSplit split,
                  const ExactReplication& answer) {
  REQUIRE(answer.experts_on_device.size() == at(devices));
  for (const auto& device : answer.experts_on_device) {
    CHECK(device.size() == at(slots));
  }
  CHECK(busiest(loads, answer.experts_on_device, split) == Approx(answer.max_load).epsilon(1e-9));
  CHECK(answer.lower_bound <= answer.max_load);
}

}  // namespace

TEST_CASE("exact replication is enumeration's best", "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{60}));
  const ReplicaSplit split = GENERATE(ReplicaSplit::even, ReplicaSplit::optimal);
  Rng rng(seed);
  const int devices = 2 + static_cast<int>(rng.below(2));
  const int slots = 1 + static_cast<int>(rng.below(3));
  const int most = std::min(5, devices * slots);
  const int experts = 1 + static_cast<int>(rng.below(at(most)));
  std::vector<double> loads;
  for (int e = 0; e < experts; ++e) {
    const double u = rng.uniform();
    loads.push_back(rng.below(6) == 0 ? 0.0 : std::floor(100.0 * u * u * u) + 1.0);
  }
  CAPTURE(seed, devices, slots, loads, static_cast<int>(split));
  SolverRun run({});
  const ExactReplication answer = exact_replication(loads, devices, slots, split, run, 10'000'000);
  check_answer(loads, devices, slots, split, answer);
  const double best = enumerate(loads, devices, slots, split);
  CHECK(answer.proven);
  CHECK(answer.max_load == Approx(best).epsilon(1e-8).margin(1e-12));
  CHECK(answer.lower_bound == Approx(best).epsilon(1e-8).margin(1e-12));

  // A budget that ends leaves a true bound and a true answer.
  const ExactReplication hasty = exact_replication(loads, devices, slots, split, run, 3);
  check_answer(loads, devices, slots, split, hasty);
  CHECK(hasty.max_load >= best * (1.0 - 1e-9));
  CHECK(hasty.lower_bound <= best * (1.0 + 1e-9));
}

TEST_CASE("two hot experts on eight devices need 196.67", "[placement][unit]") {
  const std::vector<double> loads{600, 560, 120, 120, 20, 10, 10, 10};
  SolverRun run({});
  const ExactReplication answer =
      exact_replication(loads, 8, 2, ReplicaSplit::even, run, 50'000'000);
  check_answer(loads, 8, 2, ReplicaSplit::even, answer);
  CHECK(answer.proven);
  CHECK(answer.max_load == Approx(560.0 / 3.0 + 10.0).epsilon(1e-12));
}

TEST_CASE("the replication case is solved to its optima", "[placement][shared]") {
  const std::filesystem::path file =
      std::filesystem::path(MOESIM_SHARED_DIR) / "data/placement_cases/repl_E6G4S2.json";
  if (!std::filesystem::exists(file)) {
    WARN("skipped: no placement cases");
    return;
  }
  const nlohmann::json document = read_json_file(file.string());
  const auto loads = document["loads"].get<std::vector<double>>();
  for (const ReplicaSplit split : {ReplicaSplit::even, ReplicaSplit::optimal}) {
    const auto& optimum =
        document[split == ReplicaSplit::even ? "optimum_even_split" : "optimum_optimal_split"]
                ["max_load"];
    SolverRun run({});
    const ExactReplication answer = exact_replication(loads, 4, 2, split, run, 10'000'000);
    check_answer(loads, 4, 2, split, answer);
    CHECK(answer.proven);
    CHECK(answer.max_load ==
          Approx(optimum[0].get<double>() / optimum[1].get<double>()).epsilon(1e-12));
  }
}
