#include "sim/training/pass_emitter.h"

#include <algorithm>
#include <array>

#include "sim/core/index.h"

namespace moesim {
namespace {

Lane lane_of(ExchangeKind kind) {
  switch (group_of(kind)) {
    case RankGroup::context:
      return Lane::context;
    case RankGroup::tensor:
      return Lane::tensor;
    case RankGroup::experts:
      return Lane::experts;
    default:
      return Lane::slices;
  }
}

Lane lane_of_parameters(ExchangeKind kind, RankGroup over) {
  if (kind == ExchangeKind::weights) {
    return over == RankGroup::data ? Lane::weights : Lane::expert_weights;
  }
  return over == RankGroup::data ? Lane::gradients : Lane::expert_gradients;
}

}  // namespace

void join(Tasks& tasks, const Tasks& more) {
  for (const TaskId task : more) {
    if (std::ranges::find(tasks, task) == tasks.end()) {
      tasks.push_back(task);
    }
  }
}

void join(TasksByCell& tasks, const TasksByCell& more) {
  for (std::size_t c = 0; c < tasks.size(); ++c) {
    join(tasks[c], more[c]);
  }
}

TaskId PassEmitter::add(ProgramId program, std::int32_t resources, StreamId stream,
                        Category category, std::int32_t layer, const Tasks& after) {
  return graph_.add_task_in_order({.program = program,
                                   .resource_offset = resources,
                                   .stream = stream,
                                   .label = static_cast<std::int32_t>(category),
                                   .layer = layer},
                                  after);
}

void PassEmitter::step(const PassStep& step, int stage, PassCursor& cursor) {
  step.is_exchange() ? exchange(step, stage, cursor) : kernels(step, stage, cursor);
}

double PassEmitter::seconds(const PassStep& step, int stage) {
  if (!step.is_exchange()) {
    return expansion_.chain(step.runs, 0).seconds;
  }
  if (step.exchange == ExchangeKind::weights) {
    return 0.0;  // on lanes of their own
  }
  return expansion_
      .collective(step.exchange, stage, cells_.groups(group_of(step.exchange)).front().id,
                  step.decision)
      .seconds;
}

void PassEmitter::kernels(const PassStep& step, int stage, PassCursor& cursor) {
  for (int c = 0; c < cells_.count(); ++c) {
    Tasks after = std::move(cursor.last[at(c)]);
    join(after, cursor.needed[at(c)]);
    cursor.needed[at(c)].clear();
    const Exchange chain = expansion_.chain(step.runs, cells_.unit(c));
    if (chain.program != k_nothing) {
      expansion_.ran(chain.program);
      const StreamId stream = cells_.stream(stage, Lane::kernels, c, std::array{c});
      after = {add(chain.program, cells_.resources(stage, c), stream,
                   category_of(step.runs.front().part), step.layer, after)};
      if (c == 0 && cursor.first.empty()) {
        cursor.first = after;
      }
    }
    join(after, cursor.beside[at(c)]);
    cursor.beside[at(c)].clear();
    cursor.last[at(c)] = std::move(after);
  }
}

void PassEmitter::exchange_all(const PassStep& step, int stage, TasksByCell& tasks) {
  const auto& groups = cells_.groups(group_of(step.exchange));
  for (const IterationCells::Group& group : groups) {
    const Exchange exchange = expansion_.collective(step.exchange, stage, group.id, step.decision);
    if (exchange.program == k_nothing) {
      continue;
    }
    Tasks after;
    for (const int c : group.cells) {
      join(after, tasks[at(c)]);
    }
    expansion_.exchanged(exchange.program, group.cells.size());
    const StreamId stream = cells_.stream(stage, lane_of(step.exchange), group.id, group.cells);
    const TaskId task =
        add(exchange.program, 0, stream, category_of(step.exchange), step.layer, after);
    for (const int c : group.cells) {
      tasks[at(c)] = {task};
    }
  }
}

void PassEmitter::exchange(const PassStep& step, int stage, PassCursor& cursor) {
  if (step.exchange == ExchangeKind::weights) {
    join(cursor.needed,
         parameters(step.exchange, parameters_.layer(step.layer), stage, step.layer, cursor.gate));
    if (cursor.paced) {
      cursor.gate = cursor.last;
    }
    return;
  }
  if (step.ahead) {
    TasksByCell tasks = cursor.last;
    exchange_all(step, stage, tasks);
    join(cursor.beside, tasks);
    return;
  }
  exchange_all(step, stage, cursor.last);
}

TasksByCell PassEmitter::parameters(ExchangeKind kind, const RankParameters& count, int stage,
                                    std::int32_t layer, const TasksByCell& after) {
  TasksByCell done(after.size());
  for (const auto& [over, parameters] :
       {std::pair{RankGroup::data, count.dense}, {RankGroup::expert_data, count.experts}}) {
    const auto& groups = cells_.groups(over);
    for (const IterationCells::Group& group : groups) {
      const Exchange exchange = expansion_.parameters(kind, over, parameters, stage, group.id);
      Tasks before;
      for (const int c : group.cells) {
        join(before, after[at(c)]);
      }
      if (exchange.program == k_nothing) {
        continue;
      }
      expansion_.exchanged(exchange.program, group.cells.size());
      const StreamId stream =
          cells_.stream(stage, lane_of_parameters(kind, over), group.id, group.cells);
      const TaskId task = add(exchange.program, 0, stream, category_of(kind), layer, before);
      for (const int c : group.cells) {
        done[at(c)].push_back(task);
      }
    }
  }
  return done;
}

TasksByCell PassEmitter::send(int from, int to, bool back, const TasksByCell& after) {
  TasksByCell arrived = after;
  for (int c = 0; c < cells_.count(); ++c) {
    const Exchange send = expansion_.send(from, to, cells_.folded() ? -1 : c);
    if (send.program == k_nothing) {
      continue;
    }
    expansion_.exchanged(send.program, 1);
    const StreamId stream =
        cells_.stream(from, back ? Lane::send_back : Lane::send_forward, c, std::array{c});
    arrived[at(c)] = {add(send.program, 0, stream, Category::pipeline_send, -1, after[at(c)])};
  }
  return arrived;
}

TasksByCell PassEmitter::everywhere(const Exchange& program, int stage, Category category,
                                    const TasksByCell& after) {
  TasksByCell done = after;
  for (int c = 0; c < cells_.count() && program.program != k_nothing; ++c) {
    expansion_.ran(program.program);
    const StreamId stream = cells_.stream(stage, Lane::kernels, c, std::array{c});
    done[at(c)] = {
        add(program.program, cells_.resources(stage, c), stream, category, -1, after[at(c)])};
  }
  return done;
}

TaskId PassEmitter::wait_for(const Tasks& tasks) {
  const StreamId stream = cells_.stream(0, Lane::norm, 0, {});
  return add(expansion_.nothing(), 0, stream, Category::optimizer, -1, tasks);
}

}  // namespace moesim
