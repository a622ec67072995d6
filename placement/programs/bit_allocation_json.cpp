// Files of bit problems and their answers.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "placement/programs/bit_allocation.h"
#include "placement/programs/milp_model.h"
#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/core/quantity_text.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

std::vector<int> ints(const std::vector<std::int64_t>& values) {
  return {values.begin(), values.end()};
}

std::vector<std::vector<double>> read_errors(ConfigObject& object, std::size_t experts,
                                             std::size_t widths) {
  const Json* rows = object.raw("error");
  if (rows == nullptr || !rows->is_array() || rows->size() != experts) {
    object.fail("error", "missing or not one row per expert; give errors [expert][width]");
  }
  std::vector<std::vector<double>> errors;
  for (const Json& row : *rows) {
    const std::string where = object.where("error") + "/" + std::to_string(errors.size());
    if (!row.is_array() || row.size() != widths) {
      throw ConfigError(where, "not one error per width; there are " + std::to_string(widths));
    }
    errors.emplace_back();
    for (const Json& error : row) {
      if (!error.is_number() || !(error.get<double>() >= 0.0) || !(error.get<double>() < 1e12)) {
        throw ConfigError(where + "/" + std::to_string(errors.back().size()),
                          "not an error; give a number from 0 to 1e12");
      }
      errors.back().push_back(error.get<double>());
    }
  }
  return errors;
}

// The fewest bits that a block of so many experts can have.
double fewest_bits(const BitProblem& problem, std::size_t experts) {
  double bits = static_cast<double>(experts) * problem.widths.front();
  for (const int required : problem.required) {
    bits += required - problem.widths.front();
  }
  return bits;
}

void check_budget(const BitProblem& problem, const BitBlock& block, const std::string& where) {
  const std::size_t experts = block.frequency.size();
  const auto upper = static_cast<std::size_t>(std::ranges::count_if(
      problem.required, [&](int bits) { return bits != problem.widths.front(); }));
  const bool all_upper = upper < problem.required.size() && upper >= experts;
  if (upper > experts || all_upper) {
    throw ConfigError(where, std::to_string(experts) + " experts cannot have all of the " +
                                 std::to_string(problem.required.size()) +
                                 " required_widths; use []");
  }
  const double fewest = fewest_bits(problem, experts);
  if (fewest > std::floor(problem.mean_bits * static_cast<double>(experts) + 1e-9)) {
    throw ConfigError(where, "needs " + format_number(fewest / static_cast<double>(experts)) +
                                 " bits per expert at least, but mean_bits is " +
                                 format_number(problem.mean_bits));
  }
}

void read_widths(ConfigObject& object, BitProblem& problem) {
  problem.widths =
      object.has("widths") ? ints(object.integers("widths", 1, 64)) : std::vector<int>{1, 2, 3};
  if (problem.widths.empty() ||
      std::ranges::adjacent_find(problem.widths, std::greater_equal<>()) != problem.widths.end()) {
    object.fail("widths", "not ascending; give numbers of bits like [1, 2, 3]");
  }
  if (object.has("required_widths")) {
    problem.required = ints(object.integers("required_widths", 1, 64));
  } else {
    const std::size_t count = std::min<std::size_t>(2, problem.widths.size());
    problem.required.assign(problem.widths.end() - static_cast<std::ptrdiff_t>(count),
                            problem.widths.end());
  }
  std::ranges::sort(problem.required);
  if (std::ranges::adjacent_find(problem.required) != problem.required.end()) {
    object.fail("required_widths", "names a width twice; name it once");
  }
  for (const int bits : problem.required) {
    if (std::ranges::find(problem.widths, bits) == problem.widths.end()) {
      object.fail("required_widths", std::to_string(bits) + " is none of the widths");
    }
  }
}

}  // namespace

bool is_bit_problem(const nlohmann::json& document) {
  return document.is_object() && document.value("kind", Json()) == "bits";
}

BitProblem read_bit_problem(const nlohmann::json& document, const std::string& name) {
  ConfigObject object(document, name + "#");
  BitProblem problem;
  if (object.text("kind") != "bits") {
    object.fail("kind", "not a bit problem; use \"bits\"");
  }
  problem.name = object.text_or("name", name);
  object.raw("note");
  object.raw("provenance");
  read_widths(object, problem);
  problem.mean_bits = object.number("mean_bits", 0.0, 64.0);
  problem.alpha = object.number_or("alpha", 1.0, 0.0, 10.0);
  problem.beta = object.number_or("beta", 1.0, 0.0, 10.0);
  problem.gamma = object.number_or("gamma", 2.0, 0.0, 10.0);
  for (ConfigObject block : object.objects("blocks")) {
    BitBlock read;
    read.frequency = block.numbers("frequency", 0.0, 1e12);
    read.weight = block.numbers("weight", 0.0, 1e12);
    if (read.frequency.empty() || read.weight.size() != read.frequency.size()) {
      block.fail("weight", "not one weight per frequency; both have one entry per expert");
    }
    read.error = read_errors(block, read.frequency.size(), problem.widths.size());
    block.reject_unknown_keys();
    check_budget(problem, read, block.where());
    problem.blocks.push_back(std::move(read));
  }
  if (problem.blocks.empty()) {
    object.fail("blocks", "missing or empty; give frequency, weight and error of every block");
  }
  object.reject_unknown_keys();
  return problem;
}

nlohmann::json bit_allocation_json(const BitProblem& problem, const BitAllocation& allocation) {
  return {{"kind", "bit_allocation"},
          {"name", problem.name},
          {"bits", allocation.bits},
          {"cost", allocation.cost},
          {"objective", allocation.objective},
          {"lower_bound", allocation.lower_bound},
          {"status", allocation.proven ? "optimal" : "bounded"},
          {"mean_bits", allocation.mean_bits},
          {"solver", std::string(milp_solver_name())}};
}

}  // namespace moesim
