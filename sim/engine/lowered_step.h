// One step as a task graph, with what metrics and pictures need to know about its tasks.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/operators/op.h"
#include "sim/flow/task_graph.h"

namespace moesim {

// Where the time goes; the rows of the breakdown, in this order. Steps have the first ten.
enum class Category : std::uint8_t {
  embedding,
  attention,
  dense_ffn,
  router,
  shared_expert,
  dispatch,
  experts,
  combine,
  tensor_parallel,  // all-reduce and all-gather inside attention's tensor-parallel groups
  head,
  context_parallel,    // keys and values around context-parallel groups
  pipeline_send,       // activations and their gradients between stages
  gradient_reduction,  // over data-parallel groups
  parameter_gather,    // weights, over data-parallel groups
  optimizer,
};
inline constexpr std::size_t k_categories = 15;
inline constexpr std::size_t k_step_categories = 10;
std::string_view name_of(Category category);
bool is_communication(Category category);

// What one segment of the graph is.
struct Kernel {
  std::string_view label;
  Category category = Category::attention;
  bool extrapolated = false;  // outside the range that its family was fitted on
  std::int16_t family = -1;   // index into LoweredStep::families
  double alone_s = 0.0;       // its time without contention
  double sigma = 0.0;         // relative standard error of alone_s
  double padding_s = 0.0;     // of alone_s: what the padding of a captured batch takes
};

// A kernel or communication family's share of the step, over all devices.
struct FamilyUse {
  std::string name;
  std::int64_t kernels = 0;
  std::int64_t extrapolated = 0;  // how many of them lie outside the fitted range
  double device_s = 0.0;          // sum of their times
  double longest_s = 0.0;         // of kernels, the longest alone
  std::optional<OpShape> longest = {};
};

// How one MoE layer's load is spread over the expert ranks.
struct LayerLoad {
  int layer = 0;  // position in the model
  double max_over_mean = 1.0;
  double pairs = 0.0;            // (token, expert) pairs computed, all ranks
  double tokens_sent = 0.0;      // of these, by another rank than the token's
  double tokens_sent_far = 0.0;  // of these, in another node
  std::int64_t busiest_rank = 0;
};

struct LoweredStep {
  TaskGraph graph;
  std::vector<std::uint32_t> first_kernel;  // per program: index of its first segment's kernel
  std::vector<Kernel> kernels;
  std::vector<std::vector<std::int32_t>> stream_devices;  // per stream: devices its tasks occupy
  std::vector<std::string> stream_names = {};  // of a device's streams, where it has several
  std::vector<FamilyUse> families;
  std::vector<LayerLoad> moe_layers;
  std::vector<std::uint8_t> layer_is_moe;  // per layer of the model
  std::vector<double> link_bytes;          // per link, payload of the step
  std::vector<double> link_busy_bytes;     // what its rate could have carried while it was busy
  double token_transfers = 0.0;            // token copies that change their rank
  double flops = 0.0;                      // useful arithmetic, all devices
  double memory_bytes = 0.0;               // least device-memory traffic, all devices
  std::int64_t padded_tokens = 0;          // that batches were filled up with, all ranks
  double padding_s = 0.0;                  // what these take, summed over all devices
  int devices = 0;
  int links = 0;
  std::int32_t first_link = 0;  // resource id of link 0
};

}  // namespace moesim
