#include "sim/core/error.h"
#include "sim/flow/backend.h"
#include "sim/flow/dispatcher.h"
#include "sim/flow/lookahead.h"
#include "sim/flow/record.h"

namespace moesim {
namespace {

void run_to_end(detail::Dispatcher& dispatcher) {
  while (dispatcher.advance(detail::never_s)) {
  }
  ensure(dispatcher.unfinished() == 0, "every task ends: no resource stands still for ever");
}

class FastBackend final : public Backend {
 public:
  explicit FastBackend(Merging merging) : merging_(merging) {}

  [[nodiscard]] RunResult run(const TaskGraph& graph, bool record_segments) const override {
    if (merging_ == Merging::on && detail::Lookahead::suits(graph)) {
      if (auto result = detail::Lookahead(graph, record_segments).run()) {
        return *std::move(result);
      }
    }
    detail::Dispatcher dispatcher(
        graph, {.merge = merging_ == Merging::on, .record_segments = record_segments}, nullptr);
    run_to_end(dispatcher);
    return dispatcher.take_result();
  }

 private:
  Merging merging_;
};

}  // namespace

std::unique_ptr<Backend> make_fast_backend(Merging merging) {
  return std::make_unique<FastBackend>(merging);
}

Record record_of(const TaskGraph& graph) {
  detail::Recorder recorder;
  detail::Dispatcher dispatcher(graph, {}, &recorder);
  run_to_end(dispatcher);
  return recorder.record(graph);
}

RunResult in_original_ids(const Record& record, const TaskGraph& original,
                          const RunResult& replay) {
  RunResult result;
  result.makespan_s = replay.makespan_s;
  result.events = replay.events;
  std::vector<std::size_t> first_end;  // by task of the replay
  std::size_t total = 0;
  for (const Task& task : record.graph.tasks()) {
    first_end.push_back(total);
    total += record.graph.segments(task.program).size();
  }
  for (std::size_t id = 0; id < record.ids.size(); ++id) {
    const auto replayed = static_cast<std::size_t>(record.ids[id]);
    result.tasks.push_back(replay.tasks[replayed]);
    if (replay.segment_ends_s.empty()) {
      continue;
    }
    const std::size_t count = original.segments(original.tasks()[id].program).size();
    const bool started =
        count == record.graph.segments(record.graph.tasks()[replayed].program).size();
    for (std::size_t i = 0; i < count; ++i) {
      result.segment_ends_s.push_back(started ? replay.segment_ends_s[first_end[replayed] + i]
                                              : replay.tasks[replayed].end_s);
    }
  }
  return result;
}

}  // namespace moesim
