#include "sim/cli/training_table.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sim/cli/command_line.h"
#include "sim/cli/step_table.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

std::string headline(const Json& report) {
  const Json& metrics = report["metrics"];
  Table table({"metric", "value"});
  table.row({"iteration", human_seconds_between(metrics["step_s"], metrics["step_p10_s"],
                                                metrics["step_p90_s"])});
  table.row({"tokens/s", human_count(metrics["tokens_per_s"])});
  table.row({"tokens/s per device", human_count(metrics["tokens_per_s_per_device"])});
  table.row({"model TFLOP/s per device", human_count(metrics["model_tflops_per_device"])});
  table.row({"MFU", percent(metrics["mfu"]) + " of " +
                        report["provenance"]["peak_format"].get<std::string>() + " peak"});
  table.row({"bubble", percent(metrics["bubble_fraction"])});
  table.row({"exposed communication", human_seconds(metrics["exposed_communication_s"])});
  table.row({"hidden communication", human_seconds(metrics["hidden_communication_s"])});
  table.row({"busiest / mean expert rank", human_count(metrics["max_over_mean"])});
  table.row(
      {"device hours per 1e12 tokens", human_count(metrics["device_hours_per_trillion_tokens"])});
  table.row({"cost", human_count(metrics["cost_usd"]) + " USD"});
  return table.text();
}

std::string breakdown_text(const Json& report) {
  const double step = report["metrics"]["step_s"];
  std::vector<std::pair<double, std::string>> rows;
  for (const auto& item : report["breakdown"].items()) {
    if (item.key() == "hidden") {
      continue;  // beside kernels that stand here already
    }
    const double seconds = item.value();
    if (seconds > 0) {
      rows.emplace_back(seconds, item.key().substr(0, item.key().size() - 2));
    }
  }
  std::ranges::stable_sort(rows, std::greater<>{}, &std::pair<double, std::string>::first);
  Table table({"mean device", "time", "share", ""});
  for (const auto& [seconds, name] : rows) {
    constexpr double width = 30;
    std::string bar(static_cast<std::size_t>(width * seconds / step), '#');
    bar.resize(static_cast<std::size_t>(width), ' ');
    table.row({name, human_seconds(seconds), percent(seconds / step), std::move(bar)});
  }
  return table.text();
}

std::string stages_text(const Json& report) {
  Table table({"stage", "layers", "busy", "weights", "gradients", "optimizer", "activations",
               "peak memory", ""});
  for (const Json& stage : report["stages"]) {
    const double shortfall = stage["shortfall_bytes"];
    table.row({std::to_string(stage["stage"].get<int>()),
               std::to_string(stage["layers"].get<int>()), human_seconds(stage["busy_s"]),
               human_bytes(stage["weights_bytes"]), human_bytes(stage["gradients_bytes"]),
               human_bytes(stage["optimizer_bytes"]), human_bytes(stage["activations_bytes"]),
               human_bytes(stage["peak_memory_bytes"]),
               shortfall > 0 ? human_bytes(shortfall) + " short" : ""});
  }
  const Json& memory = report["memory"];
  const double shortfall = memory["shortfall_bytes"];
  return table.text() + "usable " + human_bytes(memory["usable_bytes"]) + " of " +
         human_bytes(memory["capacity_bytes"]) + ": " +
         (shortfall > 0 ? "does NOT fit, " + human_bytes(shortfall) + " short\n" : "fits\n");
}

std::string provenance_text(const Json& report) {
  Table table({"times from", "basis", "profile", "time per device", "sigma", "of variance"});
  for (const char* kind : {"kernels", "communication"}) {
    for (const Json& row : report["provenance"][kind]) {
      const auto& families = report["uncertainty"]["families"];
      const auto bar = std::ranges::find_if(
          families, [&row](const Json& f) { return f["family"] == row["family"]; });
      const bool critical = bar != families.end();
      table.row({row["family"], row["basis"], row["profile"],
                 row.contains("mean_device_s") ? human_seconds(row["mean_device_s"]) : "-",
                 critical ? percent((*bar)["sigma"]) : "-",
                 critical ? percent((*bar)["variance_share"]) : "-"});
    }
  }
  return table.text() + "routing: " + report["provenance"]["routing"].get<std::string>() + "\n";
}

}  // namespace

std::string training_table(const Json& report) {
  std::string text = headline(report) + "\n" + breakdown_text(report) + "\n" +
                     hidden_table(report) + stages_text(report) + "\n" + provenance_text(report);
  for (const auto& warning : report["warnings"]) {
    text += "warning: " + warning.get<std::string>() + "\n";
  }
  const Json& host = report["host"];
  return text + "simulated " + std::to_string(host["tasks"].get<std::size_t>()) + " tasks in " +
         human_seconds(host["engine_s"]) + " (whole run " + human_seconds(host["wall_s"]) + ")\n";
}

}  // namespace moesim
