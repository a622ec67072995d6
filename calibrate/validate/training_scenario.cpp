// A published training run as a scenario.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "calibrate/validate/training_steps.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

// The catalog's cluster of a device, with the stated fabric.
Json hardware_of(const TrainingPoint& point) {
  const bool efa = point.fabric.find("EFA") != std::string::npos;
  const auto boxed = [&](std::string_view cluster, std::int64_t devices) {
    const std::int64_t used = std::min(point.gpus, devices);
    return Json{{"cluster", cluster}, {"devices", used}, {"nodes", point.gpus / used}};
  };
  if (point.system == "gb200" || point.system == "gb300") {
    Json rack = boxed(point.system == "gb200" ? "gb200-nvl72" : "gb300-nvl72", 64);
    rack["node"] = {{"nics", rack["devices"]}, {"devices", rack["devices"]}};
    rack.erase("devices");
    return rack;
  }
  struct Box {
    std::string_view system;
    std::string_view plain;
    std::string_view efa;
  };
  static constexpr std::array boxes{Box{"a100_sxm", "a100-8x-ib200", "a100-8x-ib200"},
                                    Box{"b200_sxm", "b200-8x-ib400", "b200-8x-efa400"},
                                    Box{"b300_sxm", "b300-8x-ib800", "b300-8x-efa800"},
                                    Box{"h100_sxm", "h100-8x-ib400", "h100-8x-ib400"},
                                    Box{"h200_sxm", "h200-8x-ib400", "h200-8x-efa400"},
                                    Box{"h800_sxm", "h800-8x-ib400", "h800-8x-ib400"},
                                    Box{"mi300x", "mi300x-8x-ib400", "mi300x-8x-ib400"},
                                    Box{"mi325x", "mi325x-8x-thor2", "mi325x-8x-thor2"},
                                    Box{"mi355x", "mi355x-8x-cx7", "mi355x-8x-cx7"}};
  const auto* const box = std::ranges::find(boxes, point.system, &Box::system);
  ensure(box != boxes.end(), "every device of the table has a cluster");
  Json hardware = boxed(efa ? box->efa : box->plain, 8);
  if (efa && point.system == "h100_sxm") {  // p5: four interfaces of 100 Gbit/s per GPU
    hardware["node"] = {{"nic_link", "efa_400g"}};
  }
  return hardware;
}

// Layers of every part as the recipes lay them out, where they do not divide evenly: the embedding
// and the loss count as a layer each (Megatron's account_for_embedding_in_pipeline_split and
// account_for_loss_in_pipeline_split); DeepSeek-V3's prediction module and loss as three
// (Megatron-Bridge, recipes/deepseek). Empty: evenly.
std::vector<std::int64_t> layers_of(const TrainingPoint& point) {
  const std::int64_t parts = point.pp * point.vpp;
  constexpr std::int64_t deepseek_layers = 61;
  constexpr std::int64_t qwen_layers = 94;
  if (point.model == "deepseek-v3" && point.layers == 0 && parts > 1 &&
      (deepseek_layers + 3) % parts == 0) {
    const std::int64_t each = (deepseek_layers + 3) / parts;
    std::vector<std::int64_t> layers(static_cast<std::size_t>(parts), each);
    layers.back() = std::max<std::int64_t>(0, each - 3);
    layers.front() -= each < 3 ? 3 - each : 0;
    return layers;
  }
  if (point.model == "qwen3-235b-a22b" && (point.layers == 0 || point.layers == qwen_layers) &&
      parts > 2 && (qwen_layers + 2) % parts == 0) {
    std::vector<std::int64_t> layers(static_cast<std::size_t>(parts), (qwen_layers + 2) / parts);
    --layers.front();
    --layers.back();
    return layers;
  }
  return {};
}

Json pipeline_of(const TrainingPoint& point) {
  const char* const name = point.vpp > 1 ? "interleaved" : "1f1b";
  const std::vector<std::int64_t> layers = layers_of(point);
  return layers.empty() ? Json(name) : Json{{"schedule", name}, {"layers", layers}};
}

std::string_view exchange_of(const TrainingPoint& point) {
  if (point.dispatcher == "deepep") {
    return point.library == "uccl" && point.ep > 8 ? "deepep_normal.uccl" : "deepep_normal";
  }
  if (point.dispatcher == "allgather") {
    return "allgather_reducescatter";
  }
  // Hybrid-EP: a token travels once per rank over NVLink, and once per node over the fabric.
  const bool one_node = point.system == "gb200" || point.system == "gb300" || point.ep <= 8;
  if (point.dispatcher == "hybridep") {
    return one_node ? "rank_dedup" : "deepep_normal";
  }
  return "expert_copies";
}

Json recompute_json(const TrainingPoint& point) {
  if (point.recompute == "none" || point.recompute == "full") {
    return point.recompute;
  }
  Json modules = Json::array();
  std::string word;
  for (const char c : point.recompute + " ") {
    if (c != ' ') {
      word.push_back(c);
    } else if (!word.empty()) {
      modules.push_back(word);
      word.clear();
    }
  }
  return {{"kind", "selective"}, {"modules", std::move(modules)}};
}

}  // namespace

nlohmann::json training_scenario(const TrainingPoint& point, const nlohmann::json& model) {
  const std::int64_t stage = point.gpus / point.pp;
  return {{"hardware", hardware_of(point)},
          {"model", model},
          {"workload",
           {{"kind", "train"},
            {"global_batch", point.global_batch},
            {"micro_batch", point.micro_batch},
            {"sequence", point.sequence},
            {"recompute", recompute_json(point)},
            {"gradient_precision", "fp32"},
            {"optimizer", {{"kind", "adam"}, {"zero", point.fsdp ? 3 : 1}}},
            {"mtp_layers", point.mtp_layers}}},
          {"parallelism",
           {{"attention",
             {{"tp", point.tp},
              {"cp", point.cp},
              {"dp", stage / (point.tp * point.cp)},
              {"pp", point.pp},
              {"vpp", point.vpp}}},
            {"experts",
             {{"etp", point.etp}, {"ep", point.ep}, {"edp", stage / (point.ep * point.etp)}}}}},
          {"policy",
           {{"pipeline", pipeline_of(point)},
            {"overlap", point.overlap ? "one_f_one_b" : "none"},
            {"framework", point.framework},
            {"precision", point.precision},
            {"all_to_all", exchange_of(point)}}}};
}

}  // namespace moesim
