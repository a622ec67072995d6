#include "placement/programs/bit_allocation.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include <catch2/catch.hpp>

#include "sim/core/error.h"
#include "sim/core/rng.h"

using namespace moesim;

namespace {

nlohmann::json random_document(std::uint64_t seed, bool required) {
  Rng rng(seed);
  nlohmann::json document{{"kind", "bits"},
                          {"mean_bits", 1.5 + 0.2 * static_cast<double>(seed % 6)}};
  if (!required) {
    document["required_widths"] = nlohmann::json::array();
  }
  for (int b = 0; b < 2; ++b) {
    nlohmann::json block;
    for (int e = 0; e < 8; ++e) {
      const double scale = rng.exponential();
      block["frequency"].push_back(rng.gamma(0.7));
      block["weight"].push_back(rng.uniform());
      block["error"].push_back({scale, scale * 0.4 * rng.uniform(), scale * 0.1 * rng.uniform()});
    }
    document["blocks"].push_back(block);
  }
  return document;
}

// All 3^8 allocations.
double enumerate(const BitProblem& problem, const BitBlock& block) {
  const auto costs = bit_costs(problem, block);
  double best = std::numeric_limits<double>::infinity();
  for (int code = 0; code < 6561; ++code) {
    int rest = code;
    double cost = 0.0;
    int bits = 0;
    std::vector<int> count(3, 0);
    for (std::size_t e = 0; e < 8; ++e) {
      const auto j = static_cast<std::size_t>(rest % 3);
      rest /= 3;
      cost += costs[e][j];
      bits += problem.widths[j];
      ++count[j];
    }
    const bool widths = problem.required.empty() || (count[1] > 0 && count[2] > 0);
    if (widths && bits <= problem.mean_bits * 8.0 + 1e-9) {
      best = std::min(best, cost);
    }
  }
  return best;
}

}  // namespace

TEST_CASE("bit widths cost no more than enumeration's", "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{24}));
  const bool required = GENERATE(true, false);
  CAPTURE(seed, required);
  const BitProblem problem = read_bit_problem(random_document(seed, required), "bits.json");
  const SolverRun run({});
  const BitAllocation allocation = allocate_bits(problem, run);
  CHECK(allocation.proven);
  CHECK(allocation.lower_bound <= allocation.objective);
  for (std::size_t b = 0; b < problem.blocks.size(); ++b) {
    const auto& bits = allocation.bits[b];
    CHECK(allocation.cost[b] == Approx(enumerate(problem, problem.blocks[b])).epsilon(1e-6));
    const auto costs = bit_costs(problem, problem.blocks[b]);
    double cost = 0.0;
    for (std::size_t e = 0; e < bits.size(); ++e) {
      cost += costs[e][static_cast<std::size_t>(bits[e] - 1)];
    }
    CHECK(cost == Approx(allocation.cost[b]).epsilon(1e-12));
    CHECK(std::accumulate(bits.begin(), bits.end(), 0) <= problem.mean_bits * 8.0 + 1e-9);
    if (required) {
      CHECK(std::ranges::count(bits, 3) >= 1);
      CHECK(std::ranges::count(bits, 2) >= 1);
    }
  }
  CHECK(bit_allocation_json(problem, allocation)["status"] == "optimal");
}

// One expert matters: it gets three bits, and the budget of 2 on average leaves 1, 2, 2.
TEST_CASE("bits go where they matter", "[placement][unit]") {
  const nlohmann::json document = nlohmann::json::parse(R"({"kind": "bits", "mean_bits": 2,
    "gamma": 1, "blocks": [{"frequency": [0.1, 10, 1, 1], "weight": [1, 1, 1, 1],
    "error": [[3, 2, 1], [3, 2, 1], [3, 2, 1], [3, 2, 1]]}]})");
  const BitAllocation allocation =
      allocate_bits(read_bit_problem(document, "bits.json"), SolverRun({}));
  CHECK(allocation.bits == std::vector<std::vector<int>>{{1, 3, 2, 2}});
  CHECK(allocation.objective == Approx(0.3 + 10.0 + 2.0 + 2.0));
  CHECK(allocation.mean_bits == 2.0);
}

TEST_CASE("wrong bit problems are refused where they are wrong", "[placement][unit]") {
  const nlohmann::json good = random_document(1, true);
  const auto where = [](const nlohmann::json& document) -> std::string {
    try {
      read_bit_problem(document, "b.json");
    } catch (const ConfigError& error) {
      return error.where();
    }
    return "";
  };
  REQUIRE(where(good).empty());
  CHECK(is_bit_problem(good));
  nlohmann::json bad = good;
  bad["mean_bits"] = 0.9;
  CHECK(where(bad) == "b.json#/blocks/0");
  bad = good;
  bad["required_widths"] = {4};
  CHECK(where(bad) == "b.json#/required_widths");
  bad = good;
  bad["blocks"][1]["error"][3].push_back(1.0);
  CHECK(where(bad) == "b.json#/blocks/1/error/3");
  bad = good;
  bad["blocks"][0]["frequency"].push_back(1.0);
  CHECK(where(bad) == "b.json#/blocks/0/weight");
  bad = good;
  bad["widths"] = {3, 2, 1};
  CHECK(where(bad) == "b.json#/widths");
  bad = good;
  bad["colour"] = 1;
  CHECK(where(bad) == "b.json#/colour");
}
