// The document of a plan: keys and units of the contract.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "sim/plan/train_plan.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

// As many rows of the ranking as people read.
constexpr std::size_t most_rows = 10;

Json layout_json(const TrainLayout& layout) {
  const Parallelism& p = layout.parallelism;
  return {{"tp", p.attention_tp},
          {"cp", p.attention_cp},
          {"dp", p.attention_dp},
          {"pp", p.pp},
          {"vpp", p.vpp},
          {"etp", p.expert_tp},
          {"ep", p.expert_ep},
          {"edp", p.expert_dp},
          {"micro_batch", layout.micro_batch},
          {"pipeline", layout.pipeline},
          {"recompute", name_of(layout.recompute)},
          {"zero", layout.zero}};
}

Json row_json(const RankedLayout& row) {
  return {{"layout", layout_json(row.layout)},
          {"step_s", row.figures.step.si()},
          {"estimated_step_s", row.estimate.si()},
          {"step_p10_s", row.figures.p10_s},
          {"step_p90_s", row.figures.p90_s},
          {"mfu", row.figures.mfu},
          {"peak_memory_bytes", row.figures.peak_memory.si()},
          {"fits", row.figures.fits},
          {"metrics", *row.figures.metrics}};
}

Json reasons_json(const Reasons& reasons) {
  Json object = Json::object();
  for (const auto& [reason, count] : reasons) {
    object[reason] = count;
  }
  return object;
}

// Which rule leaves no layout.
std::string no_legal_layout(const TrainPlan& plan) {
  std::string text = "no legal layout: ";
  if (plan.search.maps > 0) {
    return text.append(
        "no micro_batch, vpp, recompute, zero and pipeline of `search` go with the legal rank "
        "maps");
  }
  if (plan.search.maps_out.empty()) {
    return text.append("no tp, cp, pp, etp and ep of `search` divide ")
        .append(std::to_string(plan.devices))
        .append(" devices");
  }
  std::string_view separator;
  for (const auto& [reason, count] : plan.search.maps_out) {
    text.append(separator)
        .append(reason)
        .append(" (")
        .append(std::to_string(count))
        .append(" rank maps)");
    separator = ", ";
  }
  return text;
}

std::string answer_of(const TrainPlan& plan) {
  if (!plan.search.ranking.empty()) {
    return describe(plan.search.ranking.front().layout);
  }
  if (plan.search.layouts == 0) {
    return no_legal_layout(plan);
  }
  std::string text = "none of ";
  text.append(std::to_string(plan.search.layouts)).append(" layouts fits");
  if (plan.search.smallest) {
    constexpr double gigabyte = 1e9;
    text.append("; the smallest needs ")
        .append(std::to_string(plan.search.smallest->second.si() / gigabyte))
        .append(" GB of ")
        .append(std::to_string(plan.usable.si() / gigabyte))
        .append(" GB: ")
        .append(describe(plan.search.smallest->first));
  }
  return text;
}

Json best_json(const TrainPlan& plan) {
  if (plan.search.ranking.empty()) {
    return nullptr;
  }
  const RankedLayout& best = plan.search.ranking.front();
  return {{"scenario", plan.best_scenario},
          {"layout", layout_json(best.layout)},
          {"metrics", *best.figures.metrics},
          {"devices", plan.devices},
          {"usd_per_hour", plan.usd_per_hour}};
}

Json binding_json(const SearchResult& search) {
  Json rows = Json::array();
  for (const BindingLimit& limit : search.binding) {
    rows.push_back({{"limit", limit.limit},
                    {"layout", layout_json(limit.layout)},
                    {"estimated_step_s", limit.estimate.si()},
                    {"peak_memory_bytes", limit.peak_memory.si()}});
  }
  return rows;
}

Json sensitivities_json(const SearchResult& search) {
  Json rows = Json::array();
  for (const Sensitivity& row : search.sensitivities) {
    rows.push_back({{"axis", row.axis},
                    {"value", row.value},
                    {"step_s", row.step.si()},
                    {"basis", row.simulated ? "simulated" : "estimate"}});
  }
  return rows;
}

}  // namespace

Json to_json(const TrainPlan& plan) {
  const SearchResult& search = plan.search;
  Json ranking = Json::array();
  for (std::size_t i = 0; i < std::min(most_rows, search.ranking.size()); ++i) {
    ranking.push_back(row_json(search.ranking[i]));
  }
  Json pareto = Json::array();
  for (const std::size_t i : search.pareto) {
    pareto.push_back({{"layout", layout_json(search.ranking[i].layout)},
                      {"step_s", search.ranking[i].figures.step.si()},
                      {"peak_memory_bytes", search.ranking[i].figures.peak_memory.si()}});
  }
  return {{"schema", "moesim.plan/1"},
          {"model", plan.model},
          {"answer", answer_of(plan)},
          {"best", best_json(plan)},
          {"given", plan.given ? row_json(*plan.given) : Json(nullptr)},
          {"ranking", std::move(ranking)},
          {"pareto", std::move(pareto)},
          {"binding", binding_json(search)},
          {"sensitivities", sensitivities_json(search)},
          {"win_probability", search.win_probability},
          {"usable_memory_bytes", plan.usable.si()},
          {"evaluated", search.simulated},
          {"probed", search.probed},
          {"pruned", reasons_json(search.layouts_out)},
          {"layouts", search.layouts},
          {"rank_maps", {{"legal", search.maps}, {"out", reasons_json(search.maps_out)}}},
          {"warnings", plan.warnings}};
}

}  // namespace moesim
