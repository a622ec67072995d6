#include "sim/engine/timeline.h"

#include <nlohmann/json.hpp>
#include <set>

#include "sim/core/error.h"
#include "sim/core/quantity_text.h"

namespace moesim {
namespace {

constexpr double microseconds = 1e6;

std::string json_text(std::string_view text) { return nlohmann::json(text).dump(); }

class EventList {
 public:
  void name(std::string_view what, int pid, int tid, const std::string& text) {
    begin();
    json_ += R"({"ph":"M","name":)" + json_text(what) + R"(,"pid":)" + std::to_string(pid) +
             R"(,"tid":)" + std::to_string(tid) + R"(,"args":{"name":)" + json_text(text) + "}}";
  }

  void span(const Kernel& kernel, int layer, int pid, int tid, double start_s, double end_s) {
    begin();
    json_ += R"({"ph":"X","name":)" + json_text(kernel.label) + R"(,"cat":)" +
             json_text(name_of(kernel.category)) + R"(,"pid":)" + std::to_string(pid) +
             R"(,"tid":)" + std::to_string(tid) + R"(,"ts":)" +
             format_number(start_s * microseconds) + R"(,"dur":)" +
             format_number((end_s - start_s) * microseconds) + R"(,"args":{"layer":)" +
             std::to_string(layer) + "}}";
  }

  std::string finish() {
    return R"({"displayTimeUnit":"ns","traceEvents":[)" + std::move(json_) + "]}\n";
  }

 private:
  void begin() {
    if (!json_.empty()) {
      json_ += ",\n";
    }
  }
  std::string json_;
};

}  // namespace

std::string timeline_json(const LoweredStep& step, const RunResult& result, int devices_per_node) {
  EventList events;
  const int nodes = step.devices / devices_per_node;
  for (int node = 0; node < nodes; ++node) {
    events.name("process_name", node, 0, "node " + std::to_string(node));
    for (int d = 0; d < devices_per_node; ++d) {
      events.name("thread_name", node, d, "device " + std::to_string(node * devices_per_node + d));
    }
  }
  const int network = nodes;
  events.name("process_name", network, 0, "network");
  std::set<int> named;  // collective streams
  std::size_t next_end = 0;
  const auto tasks = step.graph.tasks();
  for (std::size_t id = 0; id < tasks.size(); ++id) {
    const Task& task = tasks[id];
    const std::size_t first = step.first_kernel[static_cast<std::size_t>(task.program)];
    const std::size_t count = step.graph.segments(task.program).size();
    double start = result.tasks[id].start_s;
    for (std::size_t k = first; k < first + count; ++k) {
      const double end = result.segment_ends_s.at(next_end++);
      const int device_streams = step.devices * step.streams;
      const bool collective = task.stream >= device_streams;
      const int device = task.stream % step.devices;
      const int pid = collective ? network : device / devices_per_node;
      const int tid = collective ? task.stream - device_streams
                                 : device % devices_per_node +
                                       task.stream / step.devices * devices_per_node;
      if (collective && named.insert(tid).second) {
        events.name("thread_name", pid, tid,
                    std::string(step.kernels[k].label) + " " + std::to_string(tid));
      }
      events.span(step.kernels[k], task.layer, pid, tid, start, end);
      start = end;
    }
  }
  ensure(next_end == result.segment_ends_s.size(), "every segment's end is drawn once");
  return events.finish();
}

}  // namespace moesim
