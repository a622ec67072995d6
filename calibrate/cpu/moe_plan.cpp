#include "calibrate/cpu/moe_plan.h"

#include <set>

#include "placement/solver.h"
#include "sim/core/error.h"
#include "sim/engine/exchange/traffic.h"
#include "workloads/trace/moetrace.h"

namespace moesim {
namespace {

void check(const MoeConfig& c) {
  const auto wrong = [&](const std::string& what) { throw ConfigError(describe(c), what); };
  if (c.shape.hidden < 1 || c.shape.inter < 1 || c.layers < 1 || c.tokens_per_rank < 1) {
    wrong("sizes, layers and tokens must be at least 1");
  }
  if (c.ranks < 1 || c.ranks > 2) {
    wrong("1 or 2 ranks");
  }
  if (c.overlap == HostOverlap::two_batch && (c.ranks != 1 || c.tokens_per_rank < 2)) {
    wrong("two micro-batches need one rank (its second thread moves tokens) and two tokens");
  }
  if ((c.home == ExpertHome::memory) != (c.cache_experts == 0)) {
    wrong("a cache of experts, and only that, needs weights on disk");
  }
}

ExpertPlacement place(const MoeConfig& c) {
  PlacementProblem problem;
  problem.name = "placement";
  problem.layers = c.layers;
  problem.experts = c.experts;
  problem.devices = c.ranks;
  problem.devices_per_node = c.ranks;
  problem.redundant = c.redundant;
  problem.set_even_capacity();
  problem.loads.assign(static_cast<std::size_t>(c.layers),
                       std::vector<double>(static_cast<std::size_t>(c.experts), 1.0));
  SolverRun run({});
  ExpertPlacement placement =
      trimmed(find_placement_solver(c.placement, "placement").solve(problem, run).placement);
  check_placement(placement);
  return placement;
}

// Of a trace with more layers than the model, the first ones.
RoutedTokens draw_tokens(const MoeConfig& c, const std::vector<std::string>& profiles) {
  RouterSpec router{c.layers, c.experts, c.top_k};
  if (c.routing.ends_with(".moetrace")) {
    router.layers = TraceFile(c.routing).view().shape().layers;
    if (router.layers < c.layers) {
      throw ConfigError(c.routing, "has " + std::to_string(router.layers) +
                                       " layers; the model has " + std::to_string(c.layers));
    }
  }
  BatchShape batch;
  batch.ranks = c.ranks;
  batch.tokens_per_rank = c.tokens_per_rank;
  batch.context = 1;
  batch.seed = c.seed;
  RoutedTokens tokens = make_routing_source(c.routing, router, profiles, "routing")->batch(batch);
  tokens.layers = c.layers;
  tokens.ids.resize(static_cast<std::size_t>(c.layers * tokens.tokens() * c.top_k));
  return tokens;
}

// Rows of the receive buffers are ordered by expert, then source rank, then token.
MoeLayerPlan plan_layer(const MoePlan& plan, int layer, int batch, const ReplicaChoice& replicas) {
  const MoeConfig& c = plan.config;
  const auto ranks = static_cast<std::size_t>(c.ranks);
  const auto experts = static_cast<std::size_t>(c.experts);
  MoeLayerPlan made;
  made.experts.resize(ranks);
  made.pairs.resize(ranks);
  made.rows.assign(ranks, 0);
  // [rank][expert][source] -> pairs, as indices into pairs[source]
  std::vector<std::vector<std::size_t>> found(ranks * experts * ranks);
  const std::int64_t begin = plan.first_token[static_cast<std::size_t>(batch)];
  const std::int64_t end = plan.first_token[static_cast<std::size_t>(batch) + 1];
  for (std::size_t source = 0; source < ranks; ++source) {
    for (std::int64_t token = begin; token < end; ++token) {
      const std::uint16_t* picks = plan.picks(layer, static_cast<int>(source), token);
      for (int j = 0; j < c.top_k; ++j) {
        const int slot = replicas.slot(static_cast<int>(source), picks[j]);
        const int rank = replicas.rank_of_slot(slot);
        const std::size_t at = static_cast<std::size_t>(rank) * experts + picks[j];
        found[at * ranks + source].push_back(made.pairs[source].size());
        made.pairs[source].push_back({static_cast<std::int32_t>(token), j, rank, 0});
      }
    }
  }
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    for (std::size_t expert = 0; expert < experts; ++expert) {
      ExpertRows rows{static_cast<std::int32_t>(expert), made.rows[rank], 0, true};
      for (std::size_t source = 0; source < ranks; ++source) {
        for (const std::size_t pair : found[(rank * experts + expert) * ranks + source]) {
          made.pairs[source][pair].row = made.rows[rank]++;
          ++rows.rows;
          rows.own_rank_only = rows.own_rank_only && source == rank;
        }
      }
      if (rows.rows > 0) {
        made.experts[rank].push_back(rows);
      }
    }
  }
  return made;
}

void add_steps(MoePlan& plan) {
  TaskGraph graph;
  build_moe_graph(
      plan.work, plan.schedule, plan.config.ranks,
      [&](std::int32_t id, int rank) {
        const WorkNode& node = plan.work.node(id);
        plan.steps.push_back({.node = id,
                              .kind = step_kind(node),
                              .layer = node.layer,
                              .batch = node.batch,
                              .part = static_cast<RowPart>(node.part),
                              .rank = rank,
                              .thread = 0,
                              .after = {}});
        return graph.begin_program();
      },
      graph);
  ensure(graph.tasks().size() == plan.steps.size(), "task i is step i");
  for (std::size_t s = 0; s < plan.steps.size(); ++s) {
    const Task& task = graph.tasks()[s];
    plan.steps[s].thread = task.stream;
    for (const TaskId before : graph.predecessors(task)) {
      if (graph.tasks()[static_cast<std::size_t>(before)].stream != task.stream) {
        plan.steps[s].after.push_back(before);
      }
    }
  }
}

}  // namespace

std::string_view home_name(ExpertHome home) {
  return home == ExpertHome::memory ? "memory" : home == ExpertHome::disk ? "disk" : "page_cache";
}

std::string describe(const MoeConfig& c) {
  std::string text = std::to_string(c.shape.hidden) + "x" + std::to_string(c.shape.inter) + " E" +
                     std::to_string(c.experts) + " k" + std::to_string(c.top_k) + " L" +
                     std::to_string(c.layers) + " T" + std::to_string(c.tokens_per_rank) + "x" +
                     std::to_string(c.ranks) + " " + c.placement;
  if (c.redundant > 0) {
    text += "+" + std::to_string(c.redundant);
  }
  text += " " + c.routing;
  if (c.overlap != HostOverlap::none) {
    text += " " + std::string(host_schedule(c.overlap).name);
  }
  if (c.home != ExpertHome::memory) {
    text += " " + std::string(home_name(c.home)) + " C" + std::to_string(c.cache_experts);
  }
  return text;
}

const std::uint16_t* MoePlan::picks(int layer, int rank, std::int64_t token) const {
  const std::int64_t index = rank * config.tokens_per_rank + token;
  return tokens.layer(layer).data() + index * config.top_k;
}

std::int64_t MoePlan::touched_experts(int layer) const {
  const auto ids = tokens.layer(layer);
  return static_cast<std::int64_t>(std::set<std::uint16_t>(ids.begin(), ids.end()).size());
}

std::int64_t MoePlan::touched_bytes() const {
  std::int64_t experts = 0;
  for (int l = 0; l < config.layers; ++l) {
    experts += touched_experts(l);
  }
  return experts * config.shape.weight_bytes();
}

MoePlan make_plan(const MoeConfig& config, const std::vector<std::string>& routing_profiles) {
  check(config);
  MoePlan plan;
  plan.config = config;
  plan.tokens = draw_tokens(config, routing_profiles);
  const ExpertPlacement placement = place(config);
  const std::vector<int> one_node(static_cast<std::size_t>(config.ranks), 0);
  plan.first_token =
      config.batches() == 1
          ? std::vector<std::int64_t>{0, config.tokens_per_rank}
          : std::vector<std::int64_t>{0, config.tokens_per_rank / 2, config.tokens_per_rank};
  for (int l = 0; l < config.layers; ++l) {
    const ReplicaChoice replicas(placement, l, one_node);
    auto& layer = plan.plan.emplace_back();
    for (int b = 0; b < config.batches(); ++b) {
      layer.push_back(plan_layer(plan, l, b, replicas));
    }
  }
  const HostSchedule& schedule = host_schedule(config.overlap);
  // One rank has no others.
  const bool cuts_rows = schedule.cuts_rows && config.ranks > 1;
  plan.work = moe_work(config.layers, config.batches(), cuts_rows);
  plan.schedule = schedule.make(plan.work);
  add_steps(plan);
  return plan;
}

}  // namespace moesim
