// Which layouts of a training iteration there are, and which of them are legal.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "models/network/moe_model.h"
#include "sim/plan/train_layout.h"

namespace moesim {

// Values that may be tried; an empty list: all legal ones.
struct SearchLimits {
  std::vector<std::int64_t> tp;
  std::vector<std::int64_t> cp;
  std::vector<std::int64_t> pp;
  std::vector<std::int64_t> vpp;
  std::vector<std::int64_t> etp;
  std::vector<std::int64_t> ep;
  std::vector<std::int64_t> micro_batch;  // empty: divisors of a rank's sequences up to 8
  std::vector<std::int64_t> zero;         // empty: 0 to 3
  std::vector<std::string> recompute;     // empty: none, selective, full
  std::vector<std::string> pipeline;      // empty: 1f1b, and interleaved for vpp > 1
  int simulations = 200;                  // of whole iterations, at most
};

// The scenario's `search` (README.md). Throws ConfigError.
SearchLimits parse_search(const nlohmann::json& scenario, const std::string& where);

struct PlanProblem {
  const MoeModel& model;
  int devices = 1;
  int node_devices = 1;           // of a node
  std::int64_t global_batch = 1;  // sequences
  std::int64_t sequence = 1;      // tokens
};

// Why something is out, and how often.
using Reasons = std::map<std::string, std::int64_t>;

// All maps of the devices that the limits allow and the model admits; `out` counts the others.
std::vector<Parallelism> legal_rank_maps(const PlanProblem& problem, const SearchLimits& limits,
                                         Reasons& out);

// The maps with every micro-batch, virtual stage, schedule, recomputation and ZeRO stage that goes
// with them.
std::vector<TrainLayout> legal_layouts(const PlanProblem& problem, const SearchLimits& limits,
                                       const std::vector<Parallelism>& maps);

}  // namespace moesim
