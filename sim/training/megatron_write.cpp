// From Megatron-LM's arguments to a scenario, and from a layout back to arguments.
#include <nlohmann/json.hpp>

#include "sim/core/dtype.h"
#include "sim/training/megatron_arguments.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

std::string option(std::string_view name, std::int64_t value) {
  std::string text("--");
  return text.append(name).append(" ").append(std::to_string(value));
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    text.append(text.empty() ? "" : " ").append(word);
  }
  return text;
}

Json recompute_of(const TrainWorkload& workload) {
  if (workload.recompute == Recompute::full) {
    return "full";
  }
  if (workload.recompute == Recompute::none) {
    return "none";
  }
  return {{"kind", "selective"}, {"modules", workload.recompute_modules}};
}

std::string_view optimizer_name(OptimizerKind kind) {
  return kind == OptimizerKind::adam ? "adam" : kind == OptimizerKind::sgd ? "sgd" : "muon";
}

// The all-to-all that a dispatcher is.
std::string_view exchange_of(const std::string& dispatcher) {
  return dispatcher == "allgather"  ? "allgather_reducescatter"
         : dispatcher == "alltoall" ? "expert_copies"
                                    : "deepep_normal";
}

}  // namespace

nlohmann::json megatron_scenario(const MegatronArguments& arguments, const std::string& where) {
  const MegatronRun run = read_megatron_run(arguments, where);
  const Parallelism& p = run.parallelism;
  const TrainWorkload& w = run.workload;
  Json workload{{"kind", "train"},
                {"global_batch", w.global_batch},
                {"micro_batch", w.micro_batch},
                {"sequence", w.sequence},
                {"recompute", recompute_of(w)},
                {"gradient_precision", name_of(w.gradient)},
                {"optimizer",
                 {{"kind", optimizer_name(w.optimizer.kind)},
                  {"master_precision", name_of(w.optimizer.master)},
                  {"state_precision", name_of(w.optimizer.state)},
                  {"zero", w.optimizer.zero},
                  {"offload", w.optimizer.offload}}},
                {"mtp_layers", w.mtp_layers}};
  if (w.capacity_factor) {
    workload["capacity_factor"] = *w.capacity_factor;
  }
  Json pipeline = run.pipeline;
  if (!run.layers.empty()) {
    pipeline = {{"schedule", run.pipeline}, {"layers", run.layers}};
  }
  return {{"model", megatron_model(arguments, where)},
          {"workload", std::move(workload)},
          {"parallelism",
           {{"attention",
             {{"tp", p.attention_tp},
              {"cp", p.attention_cp},
              {"dp", p.attention_dp},
              {"pp", p.pp},
              {"vpp", p.vpp}}},
            {"experts", {{"etp", p.expert_tp}, {"ep", p.expert_ep}, {"edp", p.expert_dp}}},
            {"sequence_parallel", w.sequence_parallel && p.attention_tp > 1}}},
          {"policy",
           {{"pipeline", std::move(pipeline)},
            {"overlap_gradients", w.overlap_gradients},
            {"overlap_parameters", w.overlap_parameters},
            {"overlap", run.overlap_exchanges ? "one_f_one_b" : "none"},
            {"framework", "none"},
            {"precision", run.precision_name},
            {"all_to_all", exchange_of(run.dispatcher)}}}};
}

std::vector<std::string> megatron_layout_arguments(const Parallelism& p, const TrainWorkload& w) {
  std::vector<std::string> list{option("tensor-model-parallel-size", p.attention_tp),
                                option("pipeline-model-parallel-size", p.pp)};
  const auto add_if = [&list](bool wanted, std::string text) {
    if (wanted) {
      list.push_back(std::move(text));
    }
  };
  add_if(p.vpp > 1, option("num-virtual-stages-per-pipeline-rank", p.vpp));
  list.push_back(option("context-parallel-size", p.attention_cp));
  list.push_back(option("expert-model-parallel-size", p.expert_ep));
  list.push_back(option("expert-tensor-parallel-size", p.expert_tp));
  add_if(w.sequence_parallel && p.attention_tp > 1, "--sequence-parallel");
  list.push_back(option("micro-batch-size", w.micro_batch));
  list.push_back(option("global-batch-size", w.global_batch));
  list.push_back(option("seq-length", w.sequence));
  add_if(w.optimizer.zero >= 1 && w.optimizer.zero < 3, "--use-distributed-optimizer");
  add_if(w.optimizer.zero == 3, "--use-megatron-fsdp");
  add_if(w.optimizer.zero == 3, "--data-parallel-sharding-strategy optim_grads_params");
  add_if(w.overlap_gradients, "--overlap-grad-reduce");
  add_if(w.overlap_parameters && w.optimizer.zero > 0, "--overlap-param-gather");
  add_if(w.gradient == DType::bf16, "--grad-reduce-in-bf16");
  add_if(w.recompute == Recompute::full,
         "--recompute-granularity full --recompute-method uniform --recompute-num-layers 1");
  add_if(w.recompute == Recompute::selective,
         "--recompute-granularity selective --recompute-modules " + joined(w.recompute_modules));
  add_if(w.mtp_layers > 0, option("mtp-num-layers", w.mtp_layers));
  return list;
}

}  // namespace moesim
