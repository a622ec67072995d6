#include "sim/training/training_timeline.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sim/core/quantity_text.h"

namespace moesim {
namespace {

constexpr double microseconds = 1e6;

std::string quoted(std::string_view text) { return nlohmann::json(text).dump(); }

class Trace {
 public:
  void name(std::string_view what, int pid, int tid, std::string_view text) {
    begin();
    json_.append(R"({"ph":"M","name":)").append(quoted(what)).append(ids(pid, tid));
    json_.append(R"(,"args":{"name":)").append(quoted(text)).append("}}");
  }

  void span(std::string_view label, std::string_view category, int pid, int tid, double start_s,
            double end_s, int layer) {
    begin();
    json_.append(R"({"ph":"X","name":)").append(quoted(label)).append(R"(,"cat":)");
    json_.append(quoted(category)).append(ids(pid, tid)).append(R"(,"ts":)");
    json_.append(format_number(start_s * microseconds)).append(R"(,"dur":)");
    json_.append(format_number((end_s - start_s) * microseconds)).append(R"(,"args":{"layer":)");
    json_.append(std::to_string(layer)).append("}}");
  }

  std::string finish() {
    std::string text = R"({"displayTimeUnit":"ms","traceEvents":[)";
    text.append(json_).append("]}\n");
    return text;
  }

 private:
  static std::string ids(int pid, int tid) {
    std::string text = R"(,"pid":)";
    text.append(std::to_string(pid)).append(R"(,"tid":)").append(std::to_string(tid));
    return text;
  }
  void begin() {
    if (!json_.empty()) {
      json_.append(",\n");
    }
  }
  std::string json_;
};

// "stage 3, rank 2, kernels": the stage's number; -1 without one.
int stage_of(const std::string& stream_name) {
  constexpr std::string_view prefix = "stage ";
  return stream_name.starts_with(prefix) ? std::stoi(stream_name.substr(prefix.size())) : -1;
}

std::string_view letter_of(Pass pass) {
  switch (pass) {
    case Pass::forward:
      return "F";
    case Pass::weight_grad:
      return "W";
    default:
      return "B";
  }
}

void draw_actions(const TrainingRun& run, Trace& trace) {
  for (const ActionTasks& action : run.graph.actions) {
    if (action.first.empty()) {
      continue;
    }
    double end_s = 0.0;
    for (const TaskId task : action.last) {
      end_s = std::max(end_s, run.result.tasks[static_cast<std::size_t>(task)].end_s);
    }
    const auto first = static_cast<std::size_t>(action.first.front());
    std::string label(letter_of(action.action.pass));
    label.append(std::to_string(action.action.micro_batch));
    if (run.system->parallelism().vpp > 1) {
      label.append(".").append(std::to_string(action.action.chunk));
    }
    trace.span(label, name_of(action.action.pass), action.stage,
               action.action.pass == Pass::forward ? 0 : 1, run.result.tasks[first].start_s, end_s,
               -1);
  }
}

}  // namespace

std::string training_timeline(const TrainingRun& run) {
  constexpr int first_stream = 2;  // behind the lanes of actions
  Trace trace;
  const int stages = run.system->schedule().stages();
  for (int s = 0; s < stages; ++s) {
    trace.name("process_name", s, 0, "stage " + std::to_string(s));
    trace.name("thread_name", s, 0, "forward passes");
    trace.name("thread_name", s, 1, "backward passes");
  }
  const auto& names = run.graph.stream_names;
  for (std::size_t stream = 0; stream < names.size(); ++stream) {
    const int stage = stage_of(names[stream]);
    trace.name("thread_name", stage < 0 ? stages : stage, static_cast<int>(stream) + first_stream,
               names[stream]);
  }
  draw_actions(run, trace);
  const LoweredStep& step = run.graph.step;
  std::size_t next_end = 0;
  for (std::size_t id = 0; id < step.graph.tasks().size(); ++id) {
    const Task& task = step.graph.tasks()[id];
    const std::size_t first = step.first_kernel[static_cast<std::size_t>(task.program)];
    const std::size_t count = step.graph.segments(task.program).size();
    const int stage = stage_of(names[static_cast<std::size_t>(task.stream)]);
    double start_s = run.result.tasks[id].start_s;
    for (std::size_t k = first; k < first + count; ++k) {
      const double end_s = run.result.segment_ends_s.at(next_end++);
      const Kernel& kernel = step.kernels[k];
      if (end_s > start_s) {
        trace.span(kernel.label, name_of(kernel.category), stage < 0 ? stages : stage,
                   static_cast<int>(task.stream) + first_stream, start_s, end_s, task.layer);
      }
      start_s = end_s;
    }
  }
  return trace.finish();
}

}  // namespace moesim
