#include "sim/reproduce/layer_grid.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr std::int32_t chain_priority = 1;
constexpr std::int32_t background_priority = 0;

double value_of(const Expression& expression, const GridScope& scope) {
  return expression.value(
      [&](const std::string& name) { return std::vector<double>{scope.at(name)}; });
}

std::int64_t whole(double value) { return static_cast<std::int64_t>(std::ceil(value - 1e-9)); }

// The same number of rows for every expert.
MoeOp experts_op(const std::map<std::string, std::int64_t>& d) {
  const std::int64_t rows = d.at("rows");
  const std::int64_t experts = d.at("experts");
  const auto tiles = [&](std::int64_t size) { return experts * ((rows + size - 1) / size); };
  return {.entering_tokens = rows * experts,
          .top_k = 1,
          .hidden = d.at("hidden"),
          .inter = d.at("inter"),
          .local_experts = experts,
          .total_experts = experts,
          .matrices = static_cast<int>(d.at("matrices")),
          .load = {.pairs = rows * experts,
                   .touched_experts = rows > 0 ? experts : 0,
                   .tiles_64 = tiles(64),
                   .tiles_128 = tiles(128),
                   .busiest = rows},
          .layout = ExpertLayout::fused};
}

OpShape op_of(const GridKernel& kernel, const GridScope& scope) {
  if (kernel.op == "memory") {
    return MemoryOp{.read = Bytes(value_of(kernel.dimensions.at("read"), scope)),
                    .written = Bytes(value_of(kernel.dimensions.at("written"), scope))};
  }
  std::map<std::string, std::int64_t> d;
  for (const auto& [name, expression] : kernel.dimensions) {
    d[name] = whole(value_of(expression, scope));
  }
  if (kernel.op == "experts") {
    return experts_op(d);
  }
  return GemmOp{.m = d.at("m"), .n = d.at("n"), .k = d.at("k"), .batch = d.at("batch")};
}

double exchange_seconds(const GridExchange& exchange, const CommFabric& fabric,
                        const GridScope& scope) {
  const CommTask task{.devices = whole(value_of(exchange.devices, scope)),
                      .bytes = Bytes(value_of(exchange.bytes, scope)),
                      .parts = {}};
  double best = std::numeric_limits<double>::infinity();
  for (const CommAlgorithm* algorithm : exchange.algorithms) {
    best = std::min(best, time_of(algorithm->plan(task, fabric), fabric).si());
  }
  return best;
}

double phase_seconds(const LayerGrid& grid, const GridPhase& phase, const GridScope& scope,
                     const std::string& where) {
  double seconds = 0.0;
  if (phase.seconds) {
    seconds = value_of(*phase.seconds, scope);
  } else if (phase.exchange && grid.fabric) {
    seconds = exchange_seconds(*phase.exchange, *grid.fabric, scope);
  } else if (phase.kernel && grid.kernels) {
    seconds = grid.kernels->estimate(op_of(*phase.kernel, scope)).alone().si();
  }
  if (!(seconds >= 0) || !std::isfinite(seconds)) {
    throw ConfigError(where, "phase " + phase.name + " takes " + std::to_string(seconds) +
                                 " s; a time is zero or more");
  }
  return seconds;
}

// A graph of one pass: a resource and an executor for each stream, and what contends for more.
class PassGraph {
 public:
  explicit PassGraph(const LayerGrid& grid) : grid_(grid) {
    for (const std::string& stream : grid.streams) {
      graph_.resources.push_back({stream, ResourceKind::compute, 1.0});
      executors_.push_back(graph_.add_executor());
    }
    if (grid.contention) {
      graph_.resources.push_back({"contention", ResourceKind::link, grid.contention->capacity});
    }
  }

  void add(const GridPhase& phase, double seconds, int degree) {
    const ProgramId program =
        add_program(phase.stream, phase.slices > 0 ? seconds / phase.slices : seconds);
    std::vector<TaskId> tasks;
    if (phase.slices > 0) {
      std::vector<TaskId> before = phase.after < 0
                                       ? std::vector<TaskId>{}
                                       : of_phase_[static_cast<std::size_t>(phase.after)];
      for (int slice = 0; slice < phase.slices; ++slice) {
        tasks.push_back(add_task(phase, program, before, background_priority));
        before = {tasks.back()};
      }
    } else {
      const std::size_t chunks = phase.chunked ? static_cast<std::size_t>(degree) : 1;
      for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
        tasks.push_back(add_task(
            phase, program,
            last_.size() == chunks && chunks > 1 ? std::vector<TaskId>{last_[chunk]} : last_,
            chain_priority));
      }
      last_ = tasks;
    }
    of_phase_.push_back(std::move(tasks));
  }

  [[nodiscard]] const TaskGraph& graph() const { return graph_; }

 private:
  ProgramId add_program(int stream, double seconds) {
    const ProgramId program = graph_.begin_program();
    std::vector<Need> needs{{stream, seconds}};
    if (grid_.contention &&
        std::ranges::find(grid_.contention->streams, stream) != grid_.contention->streams.end()) {
      needs.push_back({static_cast<std::int32_t>(grid_.streams.size()), seconds});
    }
    if (seconds > 0) {
      graph_.add_segment(0.0, needs);
    }
    return program;
  }

  TaskId add_task(const GridPhase& phase, ProgramId program, const std::vector<TaskId>& before,
                  std::int32_t priority) {
    Task task;
    task.program = program;
    task.stream = phase.stream;
    return graph_.add_task(
        task, before,
        {.executor = executors_[static_cast<std::size_t>(phase.stream)], .priority = priority});
  }

  const LayerGrid& grid_;
  TaskGraph graph_;
  std::vector<ExecutorId> executors_;
  std::vector<TaskId> last_;  // of the chain
  std::vector<std::vector<TaskId>> of_phase_;
};

void add_lets(const LayerGrid& grid, bool of_degree, GridScope& scope) {
  for (const GridLet& let : grid.lets) {
    if (let.of_degree == of_degree) {
      scope[let.name] = value_of(let.value, scope);
    }
  }
}

// The degree of the least sum, the first of equal ones.
int best_shared(const LayerGrid& grid, const std::vector<std::vector<double>>& seconds) {
  std::size_t best = 0;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t d = 0; d < grid.degrees.size(); ++d) {
    double sum = 0;
    for (const std::vector<double>& pass : seconds) {
      sum += pass[d];
    }
    if (sum < least) {
      least = sum;
      best = d;
    }
  }
  return static_cast<int>(best);
}

}  // namespace

std::size_t LayerGrid::points() const {
  std::size_t count = 1;
  for (const auto& [name, values] : over) {
    count *= values.size();
  }
  return count;
}

double pass_seconds(const LayerGrid& grid, const GridPass& pass, int degree, GridScope scope,
                    const Backend& backend, const std::string& where) {
  scope["r"] = degree;
  add_lets(grid, true, scope);
  PassGraph graph(grid);
  for (const GridPhase& phase : pass.phases) {
    graph.add(phase, phase_seconds(grid, phase, scope, where), degree);
  }
  return backend.run(graph.graph(), false).makespan_s;
}

GridPoint run_grid_point(const LayerGrid& grid, std::size_t point, const Backend& backend,
                         const std::string& where) {
  GridPoint result;
  for (const auto& [name, values] : grid.over) {
    result.values[name] = values[point % values.size()];
    point /= values.size();
  }
  add_lets(grid, false, result.values);
  std::vector<std::vector<double>> seconds(grid.passes.size());
  for (std::size_t p = 0; p < grid.passes.size(); ++p) {
    for (const int degree : grid.degrees) {
      seconds[p].push_back(
          pass_seconds(grid, grid.passes[p], degree, result.values, backend, where));
    }
  }
  for (const std::vector<double>& pass : seconds) {
    const auto best = grid.own_degrees ? std::ranges::min_element(pass) - pass.begin()
                                       : best_shared(grid, seconds);
    result.passes.push_back(
        {grid.degrees[static_cast<std::size_t>(best)], pass[static_cast<std::size_t>(best)]});
    result.seconds += result.passes.back().seconds;
  }
  return result;
}

}  // namespace moesim
