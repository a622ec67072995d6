#include "sim/cli/claims_table.h"

#include <array>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "sim/cli/command_line.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

std::string number_text(const Json& value) {
  if (value.is_number()) {
    std::array<char, 32> buffer{};
    std::snprintf(buffer.data(), buffer.size(), "%.4g", value.get<double>());
    return buffer.data();
  }
  if (value.is_array()) {
    std::string text;
    for (const Json& element : value) {
      text += (text.empty() ? "" : ", ") + number_text(element);
    }
    return "[" + text + "]";
  }
  return value.is_null() ? "-" : "(see the file)";
}

std::string tolerance_text(const Json& tolerance) {
  const Json& value = tolerance["value"];
  return tolerance["type"].get<std::string>() + (value.is_null() ? "" : " " + number_text(value));
}

std::string attempted_rows(const Json& claims) {
  Table table({"claim", "kind", "published", "simulated", "ratio", "unit", "tolerance", "verdict"});
  bool any = false;
  for (const Json& row : claims) {
    if (!row["scenario"].is_null()) {
      any = true;
      table.row({row["id"], row["kind"], number_text(row["published"]),
                 number_text(row["simulated"]), number_text(row["ratio"]), row["unit"],
                 tolerance_text(row["tolerance"]), row["verdict"]});
    }
  }
  return any ? table.text() + "\n" : "";
}

std::string fit_text(const Json& fit) {
  const std::string unit = fit["unit"];
  std::string text = "  fitted: " + fit["set"].get<std::string>() + " = " +
                     number_text(fit["value"]) + (unit.empty() ? "" : " " + unit) + ", for " +
                     fit["claim"].get<std::string>() + ": " + fit["measure"].get<std::string>() +
                     " = " + number_text(fit["figure"]) + "\n";
  if (!fit["reached"].get<bool>()) {
    text += "  the published " + number_text(fit["to"]) +
            " is out of reach of this constant; the nearest is used\n";
  }
  return text;
}

// What stands behind the verdicts, scenario by scenario.
std::string grounds(const Json& claims) {
  std::map<std::string, std::vector<const Json*>> by_scenario;
  for (const Json& row : claims) {
    if (!row["scenario"].is_null()) {
      by_scenario[row["scenario"]].push_back(&row);
    }
  }
  std::string text;
  for (const auto& [path, rows] : by_scenario) {
    text += path + "\n";
    for (const Json* row : rows) {
      text += "  " + (*row)["id"].get<std::string>() + " (" +
              (*row)["evidence"].get<std::string>() + "): " + (*row)["measure"].get<std::string>() +
              "\n";
      if (row->contains("why")) {
        text += "    " + (*row)["why"].get<std::string>() + "\n";
      }
      for (const Json& warning : row->value("warnings", Json::array())) {
        text += "    warning: " + warning.get<std::string>() + "\n";
      }
    }
    if (rows.front()->contains("fit")) {
      text += fit_text((*rows.front())["fit"]);
    }
    for (const Json& assumption : (*rows.front())["assumed"]) {
      text += "  assumed: " + assumption.get<std::string>() + "\n";
    }
    text += "\n";
  }
  return text;
}

std::string summary(const Json& claims) {
  std::map<std::string, std::map<std::string, int>> counts;
  for (const Json& row : claims) {
    // What was fitted to is no success.
    ++counts[row["kind"]][row.value("fitted", false) ? Json("fitted") : row["verdict"]];
  }
  std::string text;
  for (const auto& [kind, verdicts] : counts) {
    std::string line;
    for (const char* verdict : {"reproduced", "partly", "not", "fitted", "not_attempted"}) {
      const auto found = verdicts.find(verdict);
      if (found != verdicts.end()) {
        line += (line.empty() ? "" : ", ") + std::to_string(found->second) + " " + verdict;
      }
    }
    text += kind + ": " + line + "\n";
  }
  return text;
}

}  // namespace

std::string claims_table(const Json& results) {
  const Json& claims = results["claims"];
  return attempted_rows(claims) + grounds(claims) + summary(claims);
}

}  // namespace moesim
