#include "calibrate/validate/training_memory.h"

#include <algorithm>
#include <array>

#include "models/network/moe_model_size.h"
#include "sim/core/error.h"
#include "sim/training/pipeline.h"

namespace moesim {
namespace {

struct Column {
  std::string_view column;
  std::string_view argument;
};
constexpr std::array k_columns{
    Column{"tp", "tensor-model-parallel-size"},
    Column{"pp", "pipeline-model-parallel-size"},
    Column{"layers_per_virtual_stage", "num-layers-per-virtual-pipeline-stage"},
    Column{"virtual_stages_per_rank", "num-virtual-stages-per-pipeline-rank"},
    Column{"pp_layout", "pipeline-model-parallel-layout"},
    Column{"ep", "expert-model-parallel-size"},
    Column{"etp", "expert-tensor-parallel-size"},
    Column{"cp", "context-parallel-size"},
    Column{"sequence_parallel", "sequence-parallel"},
    Column{"mbs", "micro-batch-size"},
    Column{"gbs", "global-batch-size"},
    Column{"seq_len_tokens", "seq-length"},
    Column{"num_layers", "num-layers"},
    Column{"hybrid_layer_pattern", "hybrid-layer-pattern"},
    Column{"hybrid_override_pattern", "hybrid-override-pattern"},
    Column{"hidden", "hidden-size"},
    Column{"ffn_hidden", "ffn-hidden-size"},
    Column{"num_heads", "num-attention-heads"},
    Column{"gqa", "group-query-attention"},
    Column{"num_query_groups", "num-query-groups"},
    Column{"kv_channels", "kv-channels"},
    Column{"mla", "multi-latent-attention"},
    Column{"q_lora_rank", "q-lora-rank"},
    Column{"kv_lora_rank", "kv-lora-rank"},
    Column{"qk_head_dim", "qk-head-dim"},
    Column{"qk_pos_emb_head_dim", "qk-pos-emb-head-dim"},
    Column{"v_head_dim", "v-head-dim"},
    Column{"qk_layernorm", "qk-layernorm"},
    Column{"swiglu", "swiglu"},
    Column{"squared_relu", "squared-relu"},
    Column{"untie_embeddings", "untie-embeddings-and-output-weights"},
    Column{"vocab_divisible_by", "make-vocab-size-divisible-by"},
    Column{"tokenizer_type", "tokenizer-type"},
    Column{"mtp_layers", "mtp-num-layers"},
    Column{"mtp_use_repeated_layer", "mtp-use-repeated-layer"},
    Column{"num_experts", "num-experts"},
    Column{"moe_topk", "moe-router-topk"},
    Column{"moe_layer_freq", "moe-layer-freq"},
    Column{"moe_ffn_hidden", "moe-ffn-hidden-size"},
    Column{"moe_shared_expert_hidden", "moe-shared-expert-intermediate-size"},
    Column{"moe_latent_size", "moe-latent-size"},
    Column{"moe_dispatcher", "moe-token-dispatcher-type"},
    Column{"moe_flex_backend", "moe-flex-dispatcher-backend"},
    Column{"moe_grouped_gemm", "moe-grouped-gemm"},
    Column{"moe_expert_bias", "moe-router-enable-expert-bias"},
    Column{"fp8_format", "fp8-format"},
    Column{"grad_reduce_in_bf16", "grad-reduce-in-bf16"},
    Column{"optimizer", "optimizer"},
    Column{"dist_optimizer", "use-distributed-optimizer"},
    Column{"num_dist_opt_instances", "num-distributed-optimizer-instances"},
    Column{"overlap_grad_reduce", "overlap-grad-reduce"},
    Column{"overlap_param_gather", "overlap-param-gather"},
    Column{"fsdp_megatron", "use-megatron-fsdp"},
    Column{"fsdp_sharding", "data-parallel-sharding-strategy"},
    Column{"main_params_dtype", "main-params-dtype"},
    Column{"exp_avg_dtype", "exp-avg-dtype"},
    Column{"recompute_granularity", "recompute-granularity"},
    Column{"recompute_modules", "recompute-modules"},
    Column{"offload_activations", "fine-grained-activation-offloading"},
    Column{"offload_modules", "offload-modules"},
    Column{"overlap_moe_a2a", "overlap-moe-expert-parallel-comm"},
    Column{"transformer_impl", "transformer-impl"},
    Column{"attention_backend", "attention-backend"},
    Column{"flash_attn_flag", "use-flash-attn"},
    Column{"attention_dropout", "attention-dropout"},
    Column{"hidden_dropout", "hidden-dropout"},
    Column{"mamba_num_heads", "mamba-num-heads"},
    Column{"mamba_head_dim", "mamba-head-dim"},
    Column{"mamba_state_dim", "mamba-state-dim"},
    Column{"mamba_num_groups", "mamba-num-groups"},
    Column{"gpus", "world-size"}};

constexpr int k_node = 8;  // GPUs; what the functional tests run on unless their recipe says more

struct System {
  std::string_view hardware;
  std::string_view name;
  bool large_workspaces;  // Hopper and later
};
constexpr std::array k_systems{System{"A100", "a100_sxm", false}, System{"H100", "h100_sxm", true},
                               System{"GB200", "gb200", true}, System{"B200", "b200_sxm", true},
                               System{"", "unstated", true}};

std::string cell(const CsvTable& table, std::size_t row, std::string_view column) {
  return table.has(column) ? std::string(table.text(row, table.column(column))) : std::string();
}

double bytes_or(const CsvTable& table, std::size_t row, std::string_view column) {
  return cell(table, row, column).empty() ? 0 : table.positive(row, table.column(column));
}

// 6 bytes of weight and gradient and 12 of states per parameter, cut as the optimizer says;
// 34 s b h per layer and micro-batch in flight, cut by tp (Korthikanti et al., 2205.05198,
// equation 4 with the scores worked out again).
double naive_bytes(const MegatronRun& run, const PipelineSchedule& schedule) {
  const Parallelism& p = run.parallelism;
  const ParameterCounts counts = count_parameters(run.model);
  const double dense = (counts.total() - counts.routed_experts) / p.attention_tp / p.pp;
  const double experts = counts.routed_experts / (p.expert_tp * p.expert_ep) / p.pp;
  const bool cut = run.workload.optimizer.zero > 0;
  const double states =
      cut ? 12 * (dense / p.attention_dp + experts / p.expert_dp) : 12 * (dense + experts);
  int kept = 0;
  int most = 0;
  for (const PipelineAction& action : schedule.actions.back()) {
    kept += action.pass == Pass::forward ? 1 : action.pass == Pass::input_grad ? 0 : -1;
    most = std::max(most, kept);
  }
  const auto layers = static_cast<double>(run.model.layers.size()) / (p.pp * p.vpp);
  const auto tokens = static_cast<double>(run.workload.micro_batch * run.workload.sequence);
  return 6 * (dense + experts) + states +
         34 * tokens * static_cast<double>(run.model.hidden) / p.attention_tp * layers * most;
}

void predict(JudgedMemory& point, const MegatronRun& run, const std::string& where) {
  const Parallelism& p = run.parallelism;
  const std::int64_t per_rank = run.workload.micro_batch * p.attention_dp;
  const PipelineShape shape{.stages = p.pp,
                            .chunks = p.vpp,
                            .micro_batches = static_cast<int>(
                                std::max<std::int64_t>(1, run.workload.global_batch / per_rank))};
  const PipelineSchedule schedule = find_pipeline(run.pipeline, where).make(shape, where);
  const std::vector<ModelPart> parts = split_model(run.model, p.pp * p.vpp, run.layers, where);
  const StageMemory memory = stage_memory({.model = run.model,
                                           .workload = run.workload,
                                           .parallelism = p,
                                           .precision = run.precision,
                                           .parts = parts,
                                           .schedule = schedule,
                                           .habits = run.habits})
                                 .back();
  point.predicted_static_bytes = memory.fixed().si();
  point.predicted_bytes = peak_memory(memory, schedule.actions.back()).si();
  point.naive_bytes = naive_bytes(run, schedule);
}

}  // namespace

bool is_training_memory(const CsvTable& table) {
  return table.has("mem_max_allocated_bytes_max") && table.has("family");
}

MegatronArguments memory_row_arguments(const CsvTable& table, std::size_t row) {
  MegatronArguments arguments;
  for (const auto& [column, argument] : k_columns) {
    const std::string value = cell(table, row, column);
    if (!value.empty()) {
      arguments.emplace(argument, value == "1.0" ? "1" : value);
    }
  }
  // The older image has no fused attention for these masks unless it is asked for by its flag.
  if (cell(table, row, "environment") == "lts" && !arguments.contains("use-flash-attn") &&
      !arguments.contains("attention-backend")) {
    arguments["attention-backend"] = "unfused";
  }
  return arguments;
}

MemoryPoints judge_training_memory(const CsvTable& table) {
  table.check_has_rows();
  MemoryPoints result;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const std::string where = table.path() + ":" + std::to_string(table.line(row));
    const std::string hardware = cell(table, row, "hardware");
    const auto* const system = std::ranges::find(k_systems, hardware, &System::hardware);
    if (system == k_systems.end()) {
      ++result.skipped["device " + hardware + " is not known"];
      continue;
    }
    MegatronArguments arguments = memory_row_arguments(table, row);
    if (!arguments.contains("world-size")) {
      if (megatron_least_world(arguments, where) > k_node) {
        ++result.skipped
              ["number of GPUs not stated, and not one node's: how far the optimizer's "
               "states are cut is not known"];
        continue;
      }
      arguments["world-size"] = std::to_string(k_node);
    }
    MegatronRun run = read_megatron_run(arguments, where);
    if (!system->large_workspaces) {
      run.habits.workspaces = run.habits.workspaces / 8;
    }
    JudgedMemory point;
    point.id = cell(table, row, "id");
    point.family = cell(table, row, "family");
    point.system = system->name;
    point.quality = cell(table, row, "quality");
    point.line = table.line(row);
    point.measured_bytes = table.positive(row, table.column("mem_max_allocated_bytes_max"));
    point.measured_static_bytes = bytes_or(table, row, "mem_allocated_bytes_last");
    predict(point, run, where);
    result.points.push_back(std::move(point));
  }
  return result;
}

}  // namespace moesim
