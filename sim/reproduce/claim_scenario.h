// How a claim is simulated, as data: which scenarios to run, what to fit, what to measure.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "sim/engine/scenario_file.h"
#include "sim/reproduce/expression.h"
#include "sim/reproduce/verdict.h"

namespace moesim {

// What is run (run_kinds.h), a document, what to change in it, and what to vary.
struct ClaimRun {
  std::string kind = "simulate";
  // Name of a shipped scenario, path of a .json file, or a JSON object as text.
  std::string base;
  std::vector<std::string> edits;  // "/json/pointer=value", in order of the pointers
  // By pointer, in their order: the values' edits. Every combination is a point of the run.
  std::vector<std::vector<std::string>> grid{};

  [[nodiscard]] std::size_t points() const;  // 1 without a grid
};

// One constant of the listed runs, found such that a figure is as published.
struct ClaimFit {
  std::string pointer;
  std::string unit;               // of the field; empty: a bare number
  std::vector<std::string> runs;  // that carry the constant
  double low = 0.0;
  double high = 0.0;
  std::string claim;  // whose published figure it is
  double to = 0.0;
  Expression measure;
};

// What is asked of one claim.
struct ClaimMeasure {
  std::string claim;
  bool is_list = false;  // one figure for each published one
  std::vector<Expression> figures;
  // Where the published figure must be restated before it can be compared: as a ratio to its
  // baseline, say. Expressions may name runs, for formulas that are to hold exactly.
  std::vector<Expression> published{};
  std::optional<Tolerance> tolerance{};  // only for claims that come without
  Bound bound = Bound::both;
  std::optional<double> neutral{};
  std::string why{};  // of all that is restated
};

struct ClaimScenario {
  std::string path;
  std::map<std::string, ClaimRun> runs;
  std::optional<ClaimFit> fit;
  std::vector<ClaimMeasure> measures;  // one for each claim of the file
  std::vector<std::string> assumed;    // what the sources do not say
};

// Throws ConfigError("path#/pointer", ...). Reads no other file.
ClaimScenario parse_claim_scenario(const nlohmann::json& document, const std::string& path);

// Every *.json of the folders, by path. Throws ConfigError, also where two measure the same claim.
std::vector<ClaimScenario> read_claim_scenarios(const std::vector<std::string>& folders);

// The document of one of the run's points: its base (looked up beside `scenario`, then by name in
// the folders of shipped scenarios) with its edits. Paths are relative to the file that they stand
// in. The last pointer of a grid varies fastest. Throws ConfigError.
ScenarioDocument run_document(const ClaimScenario& scenario, const std::string& run,
                              const std::vector<std::string>& scenario_folders,
                              std::size_t point = 0);

}  // namespace moesim
