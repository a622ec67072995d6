#include "sim/cli/place_table.h"

#include <nlohmann/json.hpp>

#include "sim/cli/command_line.h"
#include "sim/core/quantity_text.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

std::string cost(const Json& report, const char* key) {
  const double value = report.at(key).get<double>();
  return report.at("unit") == "s" ? human_seconds(value) : format_number(value);
}

std::string solution_table(const Json& report) {
  Table table({"", ""});
  table.row({"method", report.at("method").get<std::string>()});
  table.row({"objective", cost(report, "objective")});
  const Json& parts = report.at("parts");
  const bool seconds = report.at("unit") == "s";
  const auto part = [&](const char* key) {
    const double value = parts.at(key).get<double>();
    return seconds ? human_seconds(value) : format_number(value);
  };
  const double contiguous = report.at("baseline").at("contiguous").get<double>();
  table.row({"  contiguous", (seconds ? human_seconds(contiguous) : format_number(contiguous))});
  table.row({"  busiest devices", part("load")});
  table.row({"  traffic", part("traffic")});
  table.row({"lower bound", cost(report, "lower_bound")});
  table.row({"gap", report.at("proven_optimal").get<bool>()
                        ? "0, proven optimal"
                        : "at most " + percent(report.at("gap").get<double>()) + " from optimal"});
  table.row({"balancedness", percent(parts.at("balancedness").get<double>())});
  if (report.contains("replica_node_share")) {
    table.row({"replicas' nodes reached", percent(report.at("replica_node_share").get<double>())});
  }
  if (report.at("comm_model") != "none") {
    table.row({"moves off the device", percent(parts.at("cross_device_ratio").get<double>())});
    table.row({"moves off the node", percent(parts.at("cross_node_ratio").get<double>())});
  }
  table.row({"seed", std::to_string(report.at("seed").get<std::uint64_t>())});
  table.row({"time", human_seconds(report.at("wall_s").get<double>())});
  return table.text();
}

std::string generalisation_table(const Json& generalisation) {
  Table table({"objective of", "fitted part", "unseen part", "gain fitted", "gain unseen"});
  for (const char* name : {"contiguous", "eplb", "found"}) {
    if (!generalisation.contains(name)) {
      continue;
    }
    const Json& row = generalisation.at(name);
    const auto gain = [&](const char* key) {
      return row.contains(key) ? percent(row.at(key).get<double>()) : std::string("-");
    };
    table.row({name, human_seconds(row.at("fitted").get<double>()),
               human_seconds(row.at("unseen").get<double>()), gain("gain_fitted"),
               gain("gain_unseen")});
  }
  return table.text();
}

std::string verdict_table(const Json& verdict) {
  Table table({"simulated step", "part", "step", "TPOT", "balancedness", "cross-node",
               "exposed communication"});
  for (const Json& row : verdict) {
    table.row({row.at("placement").get<std::string>(), row.at("part").get<std::string>(),
               human_seconds(row.at("step_s").get<double>()),
               row.at("tpot_s").is_null() ? "-" : human_seconds(row.at("tpot_s").get<double>()),
               percent(row.at("balancedness").get<double>()),
               percent(row.at("cross_node_ratio").get<double>()),
               human_seconds(row.at("exposed_communication_s").get<double>())});
  }
  return table.text();
}

}  // namespace

std::string place_text(const Json& report) {
  std::string text = solution_table(report);
  if (report.contains("generalisation")) {
    text += "\n" + generalisation_table(report.at("generalisation"));
  }
  if (report.contains("verdict")) {
    text += "\n" + verdict_table(report.at("verdict"));
  }
  return text;
}

}  // namespace moesim
