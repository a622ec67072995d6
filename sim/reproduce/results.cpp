// From reports to values, and from results to a document.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "sim/core/error.h"
#include "sim/reproduce/reproduce.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

std::vector<std::string> keys_of(const Json& object) {
  std::vector<std::string> keys;
  for (const auto& item : object.items()) {
    keys.push_back(item.key());
  }
  return keys;
}

std::vector<std::string> split(const std::string& path) {
  std::vector<std::string> parts;
  std::size_t first = 0;
  for (std::size_t dot = path.find('.'); dot != std::string::npos; dot = path.find('.', first)) {
    parts.push_back(path.substr(first, dot - first));
    first = dot + 1;
  }
  parts.push_back(path.substr(first));
  return parts;
}

class Selection {
 public:
  Selection(const std::string& path, const std::string& where)
      : path_(path), where_(where), parts_(split(path)) {}

  std::vector<double> of(const Json& report) {
    select(report, 0, false);
    if (values_.empty()) {
      throw ConfigError(where_, "no element has " + path_);
    }
    return std::move(values_);
  }

 private:
  // `of_many`: elements of a list without the key are passed over.
  void select(const Json& at, std::size_t part, bool of_many) {
    if (part == parts_.size()) {
      leaf(at);
    } else if (at.is_array() && is_index(parts_[part])) {
      const auto index = std::stoul(parts_[part]);
      if (index >= at.size()) {
        throw ConfigError(where_, path_ + ": there are only " + std::to_string(at.size()));
      }
      select(at[index], part + 1, of_many);
    } else if (at.is_array()) {
      for (const Json& element : at) {
        select(element, part, true);
      }
    } else if (at.is_object() && at.contains(parts_[part])) {
      select(at[parts_[part]], part + 1, of_many);
    } else if (!of_many) {
      throw ConfigError(where_, path_ + ": there is no \"" + parts_[part] + "\"" +
                                    (at.is_object() ? "; there are: " + joined(keys_of(at)) : ""));
    }
  }

  void leaf(const Json& at) {
    if (at.is_array()) {
      for (const Json& element : at) {
        leaf(element);
      }
    } else if (at.is_number()) {
      values_.push_back(at.get<double>());
    } else if (at.is_boolean()) {
      values_.push_back(at.get<bool>() ? 1.0 : 0.0);
    } else {
      throw ConfigError(where_, path_ + ": is no number" +
                                    (at.is_object() ? "; there are: " + joined(keys_of(at)) : ""));
    }
  }

  static bool is_index(const std::string& text) {
    constexpr std::size_t longest = 9;
    return !text.empty() && text.size() <= longest &&
           text.find_first_not_of("0123456789") == std::string::npos;
  }

  const std::string& path_;
  const std::string& where_;
  std::vector<std::string> parts_;
  std::vector<double> values_;
};

// One number alone, several as a list; what is not finite has no JSON.
Json numbers_json(const std::vector<double>& numbers) {
  const auto one = [](double x) { return std::isfinite(x) ? Json(x) : Json(nullptr); };
  if (numbers.size() == 1) {
    return one(numbers.front());
  }
  Json list = Json::array();
  for (const double x : numbers) {
    list.push_back(one(x));
  }
  return list;
}

Json tolerance_json(const Tolerance& tolerance) {
  return {{"type", name_of(tolerance.kind)},
          {"value", tolerance.value ? Json(*tolerance.value) : Json(nullptr)}};
}

Json fit_json(const ClaimFit& fit, const ParameterFit& result) {
  return {{"set", fit.pointer},
          {"value", result.parameter},
          {"unit", fit.unit},
          {"runs", fit.runs},
          {"measure", fit.measure.text()},
          {"claim", fit.claim},
          {"to", fit.to},
          {"figure", result.figure},
          {"reached", result.reached},
          {"evaluations", result.evaluations}};
}

// A figure of the claim itself is fitted to, not one of its baseline.
bool is_of(const Claim& claim, const ClaimFit& fit) {
  const auto has = [&](const std::vector<double>& numbers) {
    return std::ranges::find(numbers, fit.to) != numbers.end();
  };
  return fit.claim == claim.id && (has(claim.numbers) || has(claim.all_numbers));
}

Json result_json(const ClaimResult& result) {
  const Claim& claim = result.claim;
  Json row{{"id", claim.id},
           {"kind", name_of(claim.kind)},
           {"claim", claim.claim},
           {"unit", claim.unit},
           {"evidence", claim.evidence},
           {"published", Json::parse(claim.value_json)},
           {"simulated", nullptr},
           {"ratio", nullptr},
           {"tolerance", tolerance_json(claim.tolerance)},
           {"verdict", name_of(result.verdict)},
           {"scenario", nullptr}};
  if (result.scenario == nullptr) {
    return row;
  }
  row["simulated"] = numbers_json(result.simulated);
  row["ratio"] = numbers_json(result.ratio);
  row["tolerance"] = tolerance_json(result.tolerance);
  row["scenario"] = result.scenario->path;
  row["measure"] = result.asked;
  row["assumed"] = result.scenario->assumed;
  if (result.scenario->fit && is_of(claim, *result.scenario->fit)) {
    row["fitted"] = true;
  }
  if (result.restated) {
    row["published_as"] = row["published"];
    row["published"] = numbers_json(result.published);
  }
  if (!result.why.empty()) {
    row["why"] = result.why;
  }
  if (!result.warnings.empty()) {
    row["warnings"] = result.warnings;
  }
  if (result.fit) {
    row["fit"] = fit_json(*result.scenario->fit, *result.fit);
  }
  return row;
}

}  // namespace

std::vector<double> report_values(const Json& report, const std::string& path,
                                  const std::string& where) {
  return Selection(path, where).of(report);
}

Json results_json(const std::vector<ClaimResult>& results) {
  Json rows = Json::array();
  for (const ClaimResult& result : results) {
    rows.push_back(result_json(result));
  }
  return {{"claims", rows}};
}

}  // namespace moesim
