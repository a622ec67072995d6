// Megatron-LM's command-line arguments (NVIDIA/Megatron-LM, megatron/training/arguments.py; names
// and defaults from memory): read as a training run, and written for one.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "models/network/moe_model.h"
#include "models/operators/operators.h"
#include "sim/engine/rank_map.h"
#include "sim/training/stage_memory.h"
#include "sim/training/train_workload.h"

namespace moesim {

// By name, without the leading dashes ("num-layers"); a flag's value is "true".
using MegatronArguments = std::map<std::string, std::string, std::less<>>;

// A shell script's or file's words ("--num-layers 32 --swiglu", options anywhere, "\" at ends of
// lines, "#" comments), or YAML of the functional tests' form ("--num-layers: 32" below MODEL_ARGS,
// or "num_layers: 32"). Throws ConfigError(name, ...).
MegatronArguments parse_megatron_arguments(std::string_view text, std::string_view name);

struct MegatronRun {
  MoeModel model;
  Parallelism parallelism;
  TrainWorkload workload;
  OpPrecision precision;
  std::string precision_name;  // "bf16", "fp8", "fp4"
  MemoryHabits habits;
  std::string pipeline;     // a schedule's name
  std::vector<int> layers;  // of each part; empty: even
  std::string dispatcher;   // "alltoall", "allgather", "deepep", "hybridep"
  bool overlap_exchanges = false;
  std::vector<std::string> ignored;  // arguments that nothing here reads
};

// Arguments that are not known are listed in `ignored`; known ones that cannot be represented, and
// those whose absence leaves something open, throw ConfigError(where + "--name", ...). The number
// of GPUs (Megatron's WORLD_SIZE) is the argument "world-size".
MegatronRun read_megatron_run(const MegatronArguments& arguments, const std::string& where);

// The smallest number of GPUs that the layout runs on. Throws like read_megatron_run.
int megatron_least_world(const MegatronArguments& arguments, const std::string& where);

// The model alone, as a document of our schema.
nlohmann::json megatron_model(const MegatronArguments& arguments, const std::string& where);

// A training scenario without `hardware`, which the arguments do not say.
nlohmann::json megatron_scenario(const MegatronArguments& arguments, const std::string& where);

// The arguments of a layout, in the order of Megatron's own documentation: "--name value" or
// "--flag".
std::vector<std::string> megatron_layout_arguments(const Parallelism& parallelism,
                                                   const TrainWorkload& workload);

}  // namespace moesim
