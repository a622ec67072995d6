// Layout, workload and habits of Megatron-LM's arguments.
#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include "sim/core/error.h"
#include "sim/training/megatron_reader.h"

namespace moesim {
namespace {

constexpr double k_mib = 1024.0 * 1024.0;

int small_count(MegatronReader& reader, std::string_view name, std::int64_t absent) {
  const std::int64_t value = reader.count_or(name, absent);
  if (value > (1 << 24)) {
    reader.fail(name, "is more than there are GPUs");
  }
  return static_cast<int>(value);
}

// Everything but the data-parallel widths, which the number of GPUs gives.
Parallelism cuts(MegatronReader& reader) {
  Parallelism p;
  p.attention_tp = small_count(reader, "tensor-model-parallel-size", 1);
  p.pp = small_count(reader, "pipeline-model-parallel-size", 1);
  p.attention_cp = small_count(reader, "context-parallel-size", 1);
  p.expert_ep = small_count(reader, "expert-model-parallel-size", 1);
  p.expert_tp = small_count(reader, "expert-tensor-parallel-size", p.attention_tp);
  if (reader.count_or("num-experts", 0, 0) == 0) {
    p.expert_ep = 1;
    p.expert_tp = p.attention_tp;
  }
  return p;
}

std::int64_t least_world(const Parallelism& p, const MegatronReader& reader) {
  const std::int64_t attention = std::int64_t{p.attention_tp} * p.attention_cp;
  const std::int64_t experts = std::int64_t{p.expert_tp} * p.expert_ep;
  const std::int64_t world = std::lcm(attention, experts) * p.pp;
  if (world > (1 << 24)) {
    reader.fail("tensor-model-parallel-size", "and the other widths need more than 2^24 GPUs");
  }
  return world;
}

void read_layout(MegatronReader& reader, MegatronRun& run) {
  Parallelism& p = run.parallelism;
  p = cuts(reader);
  const int least = static_cast<int>(least_world(p, reader));
  const int world = small_count(reader, "world-size", least);
  if (world % least != 0) {
    reader.fail("world-size", "must be a multiple of " + std::to_string(least) +
                                  ", which the layout's widths need");
  }
  p.attention_dp = world / (p.attention_tp * p.attention_cp * p.pp);
  p.expert_dp = world / (p.expert_tp * p.expert_ep * p.pp);
  const auto layers = static_cast<std::int64_t>(run.model.layers.size()) - run.model.mtp_layers;
  if (const std::string layout = reader.text_or("pipeline-model-parallel-layout", "");
      !layout.empty()) {
    run.layers = megatron_layout_layers(layout, reader);
    if (static_cast<int>(run.layers.size()) % p.pp != 0) {
      reader.fail("pipeline-model-parallel-layout", "has parts that do not fill every stage alike");
    }
    p.vpp = static_cast<int>(run.layers.size()) / p.pp;
  } else if (reader.has("num-layers-per-virtual-pipeline-stage")) {
    const int each = small_count(reader, "num-layers-per-virtual-pipeline-stage", 1);
    p.vpp = static_cast<int>(std::max<std::int64_t>(1, layers / p.pp / each));
  } else {
    p.vpp = small_count(reader, "num-virtual-stages-per-pipeline-rank", 1);
  }
  run.pipeline = p.vpp > 1 ? "interleaved" : "1f1b";
}

void read_precision(MegatronReader& reader, MegatronRun& run) {
  const bool fp8 = reader.has("fp8-format");
  const bool fp4 = reader.has("fp4-format");
  run.precision_name = fp4 ? "fp4" : fp8 ? "fp8" : "bf16";
  run.precision = precision_preset(run.precision_name, "precision");
  reader.flag("bf16");
  reader.flag("fp16");
  reader.text_or("fp8-format", "");
  reader.text_or("fp4-format", "");
}

DType precision_of(MegatronReader& reader, std::string_view name) {
  const std::string text = reader.text_or(name, "fp32");
  if (text == "fp32" || text == "fp16" || text == "bf16" || text == "fp8") {
    return text == "fp32" ? DType::fp32 : text == "fp8" ? DType::fp8 : DType::bf16;
  }
  reader.fail(name, "is none of fp32, bf16, fp16, fp8");
}

void read_optimizer(MegatronReader& reader, TrainWorkload& workload) {
  OptimizerChoice& optimizer = workload.optimizer;
  const std::string kind = reader.text_or("optimizer", "adam");
  if (kind != "adam" && kind != "sgd" && kind != "muon" && kind != "dist_muon") {
    reader.fail("optimizer", "is none of adam, sgd, muon");
  }
  optimizer.kind = kind == "adam"  ? OptimizerKind::adam
                   : kind == "sgd" ? OptimizerKind::sgd
                                   : OptimizerKind::muon;
  optimizer.zero = reader.flag("use-distributed-optimizer") ? 1 : 0;
  const std::string strategy = reader.text_or("data-parallel-sharding-strategy", "no_shard");
  if (reader.flag("use-megatron-fsdp") || reader.flag("use-torch-fsdp2")) {
    optimizer.zero = strategy == "optim_grads_params" ? 3
                     : strategy == "optim_grads"      ? 2
                     : strategy == "optim"            ? 1
                                                      : 0;
  }
  optimizer.instances = small_count(reader, "num-distributed-optimizer-instances", 1);
  optimizer.master = precision_of(reader, "main-params-dtype");
  optimizer.state = precision_of(reader, "exp-avg-dtype");
  optimizer.offload = reader.flag("optimizer-cpu-offload");
  workload.gradient = reader.flag("grad-reduce-in-bf16") ? DType::bf16 : DType::fp32;
}

void read_workload(MegatronReader& reader, MegatronRun& run) {
  TrainWorkload& workload = run.workload;
  workload.micro_batch = reader.count("micro-batch-size");
  workload.global_batch =
      reader.count_or("global-batch-size", workload.micro_batch * run.parallelism.attention_dp);
  workload.sequence = reader.count("seq-length");
  const std::string recompute = reader.text_or("recompute-granularity", "");
  if (recompute == "full") {
    workload.recompute = Recompute::full;
  } else if (recompute == "selective") {
    workload.recompute = Recompute::selective;
    workload.recompute_modules = reader.words("recompute-modules");
    if (workload.recompute_modules.empty()) {
      workload.recompute_modules = {"core_attn"};
    }
  } else if (!recompute.empty()) {
    reader.fail("recompute-granularity", "is neither full nor selective");
  }
  if (reader.flag("fine-grained-activation-offloading")) {
    workload.offload_modules = reader.words("offload-modules");
  }
  if (reader.has("moe-expert-capacity-factor")) {
    workload.capacity_factor = reader.number_or("moe-expert-capacity-factor", 1.0);
    if (!(*workload.capacity_factor > 0)) {
      reader.fail("moe-expert-capacity-factor", "must be more than 0");
    }
  }
  read_optimizer(reader, workload);
  workload.overlap_gradients = reader.flag("overlap-grad-reduce");
  workload.overlap_parameters = reader.flag("overlap-param-gather");
  workload.sequence_parallel =
      reader.flag("sequence-parallel") || run.parallelism.attention_tp == 1;
  workload.mtp_layers = static_cast<int>(run.model.mtp_layers);
}

void read_habits(MegatronReader& reader, MegatronRun& run) {
  const bool engine = reader.text_or("transformer-impl", "transformer_engine") != "local";
  const std::string attention = reader.text_or("attention-backend", "auto");
  run.habits = {.fused_attention = engine && attention != "unfused" && attention != "local",
                .attention_dropout = reader.number_or("attention-dropout", 0.1) > 0,
                .hidden_dropout = reader.number_or("hidden-dropout", 0.1) > 0,
                .fused_activation = reader.flag("use-fused-weighted-squared-relu"),
                .one_mtp_module = reader.flag("mtp-use-repeated-layer"),
                .vocabulary_multiple = reader.count_or("make-vocab-size-divisible-by", 128)};
  const bool grouped = engine && reader.flag("moe-grouped-gemm");
  run.habits.workspaces = Bytes((grouped ? 5 : 1) * 32 * k_mib);
}

}  // namespace

std::vector<int> megatron_layout_layers(const std::string& layout, const MegatronReader& reader) {
  constexpr std::string_view name = "pipeline-model-parallel-layout";
  constexpr std::size_t most = 100'000;
  std::string flat;
  std::size_t group = std::string::npos;  // where the brackets' text begins in `flat`
  std::string last;                       // what a "*n" repeats
  for (std::size_t at = 0; at < layout.size(); ++at) {
    const char c = layout[at];
    if (c == '(') {
      group = flat.size();
    } else if (c == ')' && group != std::string::npos) {
      last = flat.substr(group);
      group = std::string::npos;
    } else if (c == '*') {
      std::size_t times = 0;
      for (++at; at < layout.size() && layout[at] >= '0' && layout[at] <= '9' && times < most;
           ++at) {
        times = 10 * times + static_cast<std::size_t>(layout[at] - '0');
      }
      --at;
      for (std::size_t i = 1; i < times && flat.size() < most; ++i) {
        flat += last;
      }
    } else if (std::string_view("Etm|L,").find(c) != std::string_view::npos) {
      last = std::string(1, c);
      flat += c;
    } else {
      reader.fail(name, "has other letters than E, t, m, L and |, as in \"Et*3|(tt|)*6mL\"");
    }
  }
  std::vector<int> layers(1, 0);
  for (const char c : flat) {
    if (c == '|') {
      layers.push_back(0);
    }
    layers.back() += c == 't' ? 1 : 0;
  }
  return layers;
}

int megatron_least_world(const MegatronArguments& arguments, const std::string& where) {
  MegatronReader reader(arguments, where);
  const Parallelism p = cuts(reader);
  return static_cast<int>(least_world(p, reader));
}

MegatronRun read_megatron_run(const MegatronArguments& arguments, const std::string& where) {
  MegatronReader reader(arguments, where);
  MegatronRun run;
  run.model = parse_model(megatron_model(reader), where + " model");
  read_layout(reader, run);
  read_precision(reader, run);
  read_workload(reader, run);
  read_habits(reader, run);
  const std::string dispatcher = reader.text_or("moe-token-dispatcher-type", "allgather");
  const std::string flex = reader.text_or("moe-flex-dispatcher-backend", "deepep");
  run.dispatcher = dispatcher == "flex" ? flex : dispatcher;
  run.overlap_exchanges = reader.flag("overlap-moe-expert-parallel-comm");
  run.ignored = reader.unread();
  return run;
}

}  // namespace moesim
