#include "sim/cli/step_table.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sim/cli/command_line.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

std::string headline(const Json& report) {
  const Json& metrics = report["metrics"];
  Table table({"metric", "value"});
  table.row({"step time", human_seconds_between(metrics["step_s"], metrics["step_p10_s"],
                                                metrics["step_p90_s"])});
  for (const auto& [key, name] :
       {std::pair{"output_tokens_per_s", "output tokens/s"},
        std::pair{"output_tokens_per_s_per_device", "output tokens/s per device"},
        std::pair{"input_tokens_per_s", "input tokens/s"},
        std::pair{"input_tokens_per_s_per_device", "input tokens/s per device"}}) {
    if (metrics.contains(key)) {
      table.row({name, human_count(metrics[key])});
    }
  }
  table.row({"MFU", percent(metrics["mfu"])});
  table.row({"MBU", percent(metrics["mbu"])});
  table.row({"exposed communication", human_seconds(metrics["exposed_communication_s"])});
  table.row({"devices wait for others", percent(metrics["bubble_fraction"])});
  table.row({"busiest / mean expert rank", human_count(metrics["max_over_mean"])});
  table.row({"expert pairs across nodes", percent(metrics["cross_node_ratio"])});
  table.row({"cost", human_count(metrics["cost_usd"].get<double>() * 1e6) + " USD per 1e6 steps"});
  return table.text();
}

std::string breakdown_text(const Json& report) {
  const double step = report["metrics"]["step_s"];
  std::vector<std::pair<double, std::string>> rows;
  for (const auto& item : report["breakdown"].items()) {
    if (item.value().is_object()) {
      continue;  // what is hidden is on no critical path
    }
    const double seconds = item.value();
    if (seconds > 0) {
      rows.emplace_back(seconds, item.key().substr(0, item.key().size() - 2));
    }
  }
  std::ranges::stable_sort(rows, std::greater<>{}, &std::pair<double, std::string>::first);
  Table table({"critical path", "time", "share", ""});
  for (const auto& [seconds, name] : rows) {
    constexpr std::size_t width = 30;
    std::string bar(static_cast<std::size_t>(static_cast<double>(width) * seconds / step), '#');
    bar.resize(width, ' ');
    table.row({name, human_seconds(seconds), percent(seconds / step), std::move(bar)});
  }
  return table.text();
}

// "attention 3.1 ms, experts 200 us": longest first.
std::string hidden_under(const Json& under) {
  std::vector<std::pair<double, std::string>> parts;
  for (const auto& item : under.items()) {
    parts.emplace_back(item.value(), item.key().substr(0, item.key().size() - 2));
  }
  std::ranges::stable_sort(parts, std::greater<>{}, &std::pair<double, std::string>::first);
  std::string text;
  for (const auto& [seconds, name] : parts) {
    text += (text.empty() ? "" : ", ") + name + " " + human_seconds(seconds);
  }
  return text;
}

std::string memory_text(const Json& memory) {
  Table table({"memory of the fullest device", "bytes"});
  for (const auto& [key, name] :
       {std::pair{"weights_bytes", "weights"},
        std::pair{"expert_weights_bytes", "  of them routed experts"},
        std::pair{"kv_bytes", "KV cache"}, std::pair{"activation_bytes", "activations"},
        std::pair{"buffers_bytes", "communication buffers"}, std::pair{"total_bytes", "total"},
        std::pair{"usable_bytes", "usable"}}) {
    table.row({name, human_bytes(memory[key])});
  }
  const double shortfall = memory["shortfall_bytes"];
  return table.text() +
         (shortfall > 0 ? "does NOT fit: " + human_bytes(shortfall) + " short\n" : "fits\n");
}

std::string provenance_text(const Json& provenance, const Json& uncertainty) {
  Table table({"times from", "basis", "profile", "median error", "time per device", "sigma",
               "of variance"});
  for (const char* kind : {"kernels", "communication"}) {
    for (const Json& row : provenance[kind]) {
      const auto& families = uncertainty["families"];
      const auto bar = std::ranges::find_if(
          families, [&row](const Json& f) { return f["family"] == row["family"]; });
      const bool critical = bar != families.end();
      table.row({row["family"], row["basis"], row["profile"],
                 row.contains("median_error") ? percent(row["median_error"]) : "-",
                 row.contains("mean_device_s") ? human_seconds(row["mean_device_s"]) : "-",
                 critical ? percent((*bar)["sigma"]) : "-",
                 critical ? percent((*bar)["variance_share"]) : "-"});
    }
  }
  std::string text = table.text() + "one run of a deployment against another: " +
                     percent(uncertainty["deployment_share"]) + " of variance\n";
  if (provenance.contains("routing")) {
    text += "routing: " + provenance["routing"].get<std::string>() + "\n";
  }
  return text;
}

// "tokens 128, pairs 1024": what says something.
std::string shape_text(const Json& shape) {
  std::string text;
  for (const auto& [name, value] : shape.items()) {
    text += (text.empty() ? "" : ", ") + name + " " + human_count(value);
  }
  return text;
}

}  // namespace

std::string explanation_table(const Json& explanations) {
  std::string text;
  for (const Json& row : explanations) {
    Table table({row["family"], "law", "kernel", "basis", "time", "expected error", "decided by"});
    const auto add = [&table](const char* place, const Json& option) {
      const bool outside = option["extrapolated"];
      table.row({place + option["profile"].get<std::string>(), option["law"],
                 option.value("kernel_source", "-"),
                 option["basis"].get<std::string>() + (outside ? ", extrapolated" : ""),
                 human_seconds(option["seconds"]),
                 option.contains("expected_error") ? percent(option["expected_error"]) : "-",
                 option["reason"]});
    };
    add("answers: ", row["answers"]);
    for (const Json& option : row["runners_up"]) {
      add("   then: ", option);
    }
    text += "\n" + table.text() + "  for " + shape_text(row["shape"]) + "\n";
  }
  return text;
}

std::string hidden_table(const Json& report) {
  if (!report["breakdown"].contains("hidden")) {
    return "";
  }
  Table table({"communication of a mean device", "exposed", "hidden", "under"});
  for (const auto& [name, row] : report["breakdown"]["hidden"].items()) {
    table.row({name, human_seconds(row["exposed_s"]), human_seconds(row["hidden_s"]),
               hidden_under(row["under"])});
  }
  std::string text = table.text();
  for (const Json& row : report["provenance"].value("interference", Json::array())) {
    text += "kernels beside " + row["communication"].get<std::string>() + ": " +
            (row["factor"] > 0.0 ? "without " + percent(row["factor"]) + " of the multiprocessors\n"
                                 : "not slowed (" + row["source"].get<std::string>() + ")\n");
  }
  if (report["provenance"].contains("overlap")) {
    text +=
        "chunks: " + std::to_string(report["provenance"]["overlap"]["degree"].get<int>()) + "\n";
  }
  return text + "\n";
}

std::string step_table(const Json& report) {
  std::string text = headline(report) + "\n" + breakdown_text(report) + "\n" +
                     hidden_table(report) + memory_text(report["memory"]) + "\n" +
                     provenance_text(report["provenance"], report["uncertainty"]);
  if (report.contains("explain")) {
    text += explanation_table(report["explain"]);
  }
  for (const auto& warning : report["warnings"]) {
    text += "warning: " + warning.get<std::string>() + "\n";
  }
  const Json& host = report["host"];
  return text + "simulated " + std::to_string(host["tasks"].get<std::size_t>()) + " tasks in " +
         human_seconds(host["engine_s"]) + " (routing " + human_seconds(host["routing_s"]) +
         ", whole run " + human_seconds(host["wall_s"]) + ")\n";
}

}  // namespace moesim
