#include "sim/cli/plan_table.h"

#include <nlohmann/json.hpp>

#include "sim/cli/command_line.h"
#include "sim/core/quantity_text.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

std::string number(const Json& object, const char* key) {
  return std::to_string(object.at(key).get<std::int64_t>());
}

std::string attention(const Json& layout) {
  std::string text = number(layout, "tp");
  for (const char* key : {"cp", "dp", "pp", "vpp"}) {
    text.append(" x ").append(number(layout, key));
  }
  return text;
}

std::string experts(const Json& layout) {
  std::string text = number(layout, "etp");
  for (const char* key : {"ep", "edp"}) {
    text.append(" x ").append(number(layout, key));
  }
  return text;
}

void add_row(Table& table, const std::string& rank, const Json& row) {
  const Json& layout = row.at("layout");
  table.row(
      {rank, attention(layout), experts(layout), number(layout, "micro_batch"),
       layout.at("pipeline").get<std::string>(), layout.at("recompute").get<std::string>(),
       number(layout, "zero"),
       human_seconds_between(row.at("step_s").get<double>(), row.at("step_p10_s").get<double>(),
                             row.at("step_p90_s").get<double>()),
       percent(row.at("mfu").get<double>()),
       human_bytes(row.at("peak_memory_bytes").get<double>()) +
           (row.at("fits").get<bool>() ? "" : " does NOT fit")});
}

std::string ranking_table(const Json& plan) {
  Table table({"", "TP x CP x DP x PP x VPP", "ETP x EP x EDP", "micro-batch", "pipeline",
               "recompute", "zero", "step", "MFU", "memory"});
  std::size_t rank = 0;
  for (const Json& row : plan.at("ranking")) {
    add_row(table, std::to_string(++rank), row);
  }
  if (!plan.at("given").is_null()) {
    add_row(table, "given", plan.at("given"));
  }
  return rank == 0 && plan.at("given").is_null() ? "" : table.text();
}

std::string reasons_table(const Json& plan) {
  Table table({"out", ""});
  for (const auto& [reason, count] : plan.at("rank_maps").at("out").items()) {
    table.row({"rank maps: " + reason, std::to_string(count.get<std::int64_t>())});
  }
  for (const auto& [reason, count] : plan.at("pruned").items()) {
    table.row({"layouts: " + reason, std::to_string(count.get<std::int64_t>())});
  }
  return table.text();
}

// One line per axis: "tp: 1 12.3 s, 2 11.8 s, 4 about 13 s".
std::string sensitivities_text(const Json& plan) {
  std::string text;
  std::string axis;
  for (const Json& row : plan.at("sensitivities")) {
    const std::string name = row.at("axis").get<std::string>();
    text.append(name == axis ? ", " : (text.empty() ? "" : "\n") + name + ": ");
    axis = name;
    text.append(row.at("value").get<std::string>())
        .append(row.at("basis") == "simulated" ? " " : " about ")
        .append(human_seconds(row.at("step_s").get<double>()));
  }
  return text.empty() ? "" : "best step with one number fixed\n" + text + "\n";
}

std::string binding_text(const Json& plan) {
  std::string text;
  for (const Json& row : plan.at("binding")) {
    const Json& layout = row.at("layout");
    text.append(row.at("limit").get<std::string>())
        .append(" binds: ")
        .append(attention(layout))
        .append(", experts ")
        .append(experts(layout))
        .append(", micro-batch ")
        .append(number(layout, "micro_batch"))
        .append(", recompute ")
        .append(layout.at("recompute").get<std::string>())
        .append(" would take about ")
        .append(human_seconds(row.at("estimated_step_s").get<double>()))
        .append(" and needs ")
        .append(human_bytes(row.at("peak_memory_bytes").get<double>()))
        .append(" of ")
        .append(human_bytes(plan.at("usable_memory_bytes").get<double>()))
        .append("\n");
  }
  return text;
}

std::string summary(const Json& plan) {
  std::string text = "legal: ";
  text.append(number(plan.at("rank_maps"), "legal"))
      .append(" rank maps, ")
      .append(number(plan, "layouts"))
      .append(" layouts; probed ")
      .append(number(plan, "probed"))
      .append(", simulated ")
      .append(number(plan, "evaluated"))
      .append("\n");
  if (!plan.at("best").is_null()) {
    text.append("the first is the fastest of these with probability ")
        .append(percent(plan.at("win_probability").get<double>()))
        .append(" or more; ")
        .append(number(plan.at("best"), "devices"))
        .append(" devices, ")
        .append(format_number(plan.at("best").at("usd_per_hour").get<double>()))
        .append(" USD per hour\n");
  }
  return text;
}

}  // namespace

std::string plan_text(const Json& plan) {
  std::string text = plan.at("answer").get<std::string>() + "\n";
  for (const std::string& part : {ranking_table(plan), sensitivities_text(plan), binding_text(plan),
                                  reasons_table(plan), summary(plan)}) {
    if (!part.empty()) {
      text.append("\n").append(part);
    }
  }
  for (const Json& warning : plan.at("warnings")) {
    text.append("warning: ").append(warning.get<std::string>()).append("\n");
  }
  return text;
}

}  // namespace moesim
