#include "sim/reproduce/claim_scenario.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "sim/core/catalog.h"
#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/reproduce/run_kinds.h"

namespace moesim {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::array<std::string_view, 2> bounds{"at_most", "at_least"};

// A run's name stands in expressions.
bool is_identifier(const std::string& name) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; };
  return !name.empty() && letter(name.front()) &&
         std::ranges::all_of(name, [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

std::string run_of(const std::string& name) { return name.substr(0, name.find('.')); }

void check_names(const Expression& expression, const std::map<std::string, ClaimRun>& runs,
                 const std::string& where) {
  for (const std::string& name : expression.names()) {
    if (!runs.contains(run_of(name))) {
      std::vector<std::string> known;
      for (const auto& [run, what] : runs) {
        known.push_back(run);
      }
      throw ConfigError(where,
                        "\"" + name + "\" begins with no run; the runs are: " + joined(known));
    }
  }
}

void check_pointer(const std::string& pointer, const std::string& where) {
  if (!pointer.starts_with('/') || pointer.find('=') != std::string::npos) {
    throw ConfigError(where, "\"" + pointer + "\" is no JSON pointer such as /policy/all_to_all");
  }
}

// A list of edits for each pointer.
std::vector<std::vector<std::string>> parse_grid(ConfigObject object) {
  constexpr std::size_t most_points = 10'000;
  std::vector<std::vector<std::string>> grid;
  std::size_t points = 1;
  for (const std::string& pointer : object.keys()) {
    check_pointer(pointer, object.where());
    const Json* values = object.raw(pointer);
    if (!values->is_array() || values->empty()) {
      object.fail(pointer, "is no list of values");
    }
    grid.emplace_back();
    for (const Json& value : *values) {
      grid.back().push_back(pointer + "=" + value.dump());
    }
    points *= values->size();
    if (points > most_points) {
      object.fail(pointer, "makes more than " + std::to_string(most_points) + " points");
    }
  }
  return grid;
}

ClaimRun parse_run(ConfigObject object) {
  ClaimRun run;
  run.kind = object.choice_or("kind", "simulate", run_kind_names());
  const Json* base = object.raw("base");
  run.base = base != nullptr && base->is_object() ? base->dump() : object.text("base");
  if (auto set = object.object_if("set")) {
    for (const std::string& pointer : set->keys()) {
      check_pointer(pointer, set->where());
      run.edits.push_back(pointer + "=" + set->raw(pointer)->dump());
    }
  }
  if (auto grid = object.object_if("grid")) {
    run.grid = parse_grid(*grid);
  }
  object.reject_unknown_keys();
  return run;
}

std::map<std::string, ClaimRun> parse_runs(ConfigObject object) {
  std::map<std::string, ClaimRun> runs;
  for (const std::string& name : object.keys()) {
    if (!is_identifier(name)) {
      object.fail(name, "is no name of a run: lower-case letters, digits and _ only");
    }
    runs.emplace(name, parse_run(object.object(name)));
  }
  return runs;
}

ClaimFit parse_fit(ConfigObject object, const std::map<std::string, ClaimRun>& runs) {
  ClaimFit fit{.pointer = object.text("set"),
               .unit = object.text_or("unit", ""),
               .runs = object.texts("runs"),
               .claim = object.text("claim"),
               .measure = Expression(object.text("measure"), object.where("measure"))};
  check_pointer(fit.pointer, object.where("set"));
  check_names(fit.measure, runs, object.where("measure"));
  for (const std::string& run : fit.runs) {
    if (!runs.contains(run)) {
      object.fail("runs", "\"" + run + "\" is not among the scenario's runs");
    }
  }
  constexpr double widest = 1e15;
  fit.to = object.number("to", -widest, widest);
  const std::vector<double> between = object.numbers("between", -widest, widest);
  if (between.size() != 2 || !(between[0] < between[1])) {
    object.fail("between", "is not [low, high] with low < high");
  }
  fit.low = between[0];
  fit.high = between[1];
  object.reject_unknown_keys();
  return fit;
}

// One expression, or a list of them.
std::vector<Expression> parse_expressions(const Json& value, const std::string& where) {
  std::vector<Expression> expressions;
  const auto add = [&](const Json& entry, const std::string& entry_where) {
    if (!entry.is_string() && !entry.is_number()) {
      throw ConfigError(entry_where,
                        "is neither an expression such as \"a.metrics.step_s / "
                        "b.metrics.step_s\" nor a number");
    }
    expressions.emplace_back(entry.is_string() ? entry.get<std::string>() : entry.dump(),
                             entry_where);
  };
  if (!value.is_array()) {
    add(value, where);
    return expressions;
  }
  for (std::size_t i = 0; i < value.size(); ++i) {
    add(value[i], where + "/" + std::to_string(i));
  }
  if (expressions.empty()) {
    throw ConfigError(where, "is an empty list; give an expression for each published figure");
  }
  return expressions;
}

// Restates what is published; see ClaimMeasure.
void parse_judge(ConfigObject object, ClaimMeasure& measure) {
  if (const Json* published = object.raw("published")) {
    measure.published = parse_expressions(*published, object.where("published"));
  }
  if (const Json* tolerance = object.raw("tolerance")) {
    measure.tolerance = parse_tolerance(*tolerance, object.where("tolerance"));
  }
  if (object.has("bound")) {
    measure.bound = object.choice("bound", bounds) == "at_most" ? Bound::at_most : Bound::at_least;
  }
  if (object.has("neutral")) {
    constexpr double widest = 1e9;
    measure.neutral = object.number("neutral", -widest, widest);
  }
  measure.why = object.text("why");
  object.reject_unknown_keys();
}

// A figure that no simulation had a part in proves nothing.
void check_measures(const Expression& figure, const std::string& where) {
  const std::vector<std::string> names = figure.names();
  const auto simulated = [](const std::string& name) {
    return name.find(".scenario.") == std::string::npos;
  };
  if (std::ranges::none_of(names, simulated)) {
    throw ConfigError(where, "\"" + figure.text() +
                                 "\" measures nothing; name a run's result, such as "
                                 "a.metrics.step_s");
  }
}

std::vector<ClaimMeasure> parse_measures(ConfigObject& root, const ClaimScenario& scenario) {
  const std::vector<std::string> claims = root.texts("claims");
  const Json* measure = root.raw("measure");
  if (claims.empty()) {
    root.fail("claims", "is empty; a claim's scenario measures at least one claim");
  }
  if (measure == nullptr) {
    root.fail("measure", "is missing; an expression, or an object {claim: expression}, is needed");
  }
  if (!measure->is_object() && claims.size() != 1) {
    root.fail("measure", "is one expression for " + std::to_string(claims.size()) +
                             " claims; an object {claim: expression} is needed");
  }
  std::vector<ClaimMeasure> measures;
  for (const std::string& claim : claims) {
    const bool by_claim = measure->is_object();
    if (by_claim && !measure->contains(claim)) {
      root.fail("measure", "says nothing of the claim \"" + claim + "\"");
    }
    if (std::ranges::find(measures, claim, &ClaimMeasure::claim) != measures.end()) {
      root.fail("claims", "\"" + claim + "\" stands twice; keep one");
    }
    const Json& what = by_claim ? (*measure)[claim] : *measure;
    const std::string where = root.where("measure") + (by_claim ? "/" + claim : "");
    measures.push_back(
        {.claim = claim, .is_list = what.is_array(), .figures = parse_expressions(what, where)});
    for (const Expression& figure : measures.back().figures) {
      check_names(figure, scenario.runs, where);
      check_measures(figure, where);
    }
  }
  if (measure->is_object() && measure->size() != claims.size()) {
    root.fail("measure", "names claims that /claims does not list");
  }
  return measures;
}

void parse_judges(ConfigObject object, ClaimScenario& scenario) {
  for (const std::string& claim : object.keys()) {
    const auto measure = std::ranges::find(scenario.measures, claim, &ClaimMeasure::claim);
    if (measure == scenario.measures.end()) {
      object.fail(claim, "is not among /claims");
    }
    parse_judge(object.object(claim), *measure);
    for (const Expression& published : measure->published) {
      check_names(published, scenario.runs, object.where(claim) + "/published");
    }
  }
}

}  // namespace

ClaimScenario parse_claim_scenario(const Json& document, const std::string& path) {
  ClaimScenario scenario;
  scenario.path = path;
  ConfigObject root(document, path + "#");
  scenario.runs = parse_runs(root.object("runs"));
  scenario.measures = parse_measures(root, scenario);
  if (auto fit = root.object_if("fit")) {
    scenario.fit = parse_fit(*fit, scenario.runs);
  }
  if (auto judges = root.object_if("judge")) {
    parse_judges(*judges, scenario);
  }
  scenario.assumed = root.texts("assumed");
  root.reject_unknown_keys();
  return scenario;
}

std::vector<ClaimScenario> read_claim_scenarios(const std::vector<std::string>& folders) {
  std::vector<ClaimScenario> scenarios;
  std::map<std::string, std::string> path_of_claim;
  for (const std::string& folder : folders) {
    for (const std::string& name : catalog_names({folder})) {
      const std::string path = (fs::path(folder) / (name + ".json")).string();
      scenarios.push_back(parse_claim_scenario(read_json_file(path), path));
      for (const ClaimMeasure& measure : scenarios.back().measures) {
        const auto [known, fresh] = path_of_claim.emplace(measure.claim, path);
        if (!fresh) {
          throw ConfigError(path + "#/claims", "\"" + measure.claim + "\" is measured by " +
                                                   known->second + " already; keep one of them");
        }
      }
    }
  }
  return scenarios;
}

namespace {

ScenarioDocument base_document(const ClaimScenario& scenario, const ClaimRun& run,
                               const std::string& where,
                               const std::vector<std::string>& scenario_folders) {
  if (run.base.starts_with('{')) {
    return scenario_document(Json::parse(run.base), scenario.path, {});
  }
  const bool is_path = run.base.ends_with(".json");
  const std::string path = is_path ? (fs::path(scenario.path).parent_path() / run.base).string()
                                   : find_in_catalog(run.base, scenario_folders);
  if (path.empty() || !fs::is_regular_file(path)) {
    throw ConfigError(where + "/base", is_path ? "the file \"" + path + "\" does not exist"
                                               : "\"" + run.base +
                                                     "\" is no shipped scenario; there are: " +
                                                     joined(catalog_names(scenario_folders)));
  }
  return read_scenario_document(path, {});
}

}  // namespace

std::size_t ClaimRun::points() const {
  std::size_t count = 1;
  for (const std::vector<std::string>& values : grid) {
    count *= values.size();
  }
  return count;
}

ScenarioDocument run_document(const ClaimScenario& scenario, const std::string& run,
                              const std::vector<std::string>& scenario_folders, std::size_t point) {
  const ClaimRun& description = scenario.runs.at(run);
  const std::string where = scenario.path + "#/runs/" + run;
  ScenarioDocument document = base_document(scenario, description, where, scenario_folders);
  const auto apply = [&](const std::string& edit, const char* key) {
    try {
      apply_override_of(scenario.path, edit, document);
    } catch (const ConfigError& error) {
      throw ConfigError(where + key, error.what());
    }
  };
  for (const std::string& edit : description.edits) {
    apply(edit, "/set");
  }
  std::size_t stride = description.points();
  for (const std::vector<std::string>& values : description.grid) {
    stride /= values.size();
    apply(values[point / stride % values.size()], "/grid");
  }
  return document;
}

}  // namespace moesim
