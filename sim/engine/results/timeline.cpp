#include "sim/engine/results/timeline.h"

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

struct Lane {
  int pid = 0;
  int tid = 0;
};

// A lane for every stream of one device, named at once; those of collectives take their name from
// what they run.
class Lanes {
 public:
  Lanes(const LoweredStep& step, int devices_per_node, EventList& events)
      : step_(step),
        events_(events),
        devices_per_node_(devices_per_node),
        network_(step.devices / devices_per_node) {
    std::vector<int> streams_of(static_cast<std::size_t>(step.devices), 0);
    for (int node = 0; node < network_; ++node) {
      events.name("process_name", node, 0, "node " + std::to_string(node));
    }
    for (const std::vector<std::int32_t>& devices : step.stream_devices) {
      if (devices.size() == 1) {
        add_device_lane(devices.front(), streams_of[static_cast<std::size_t>(devices.front())]++);
      } else {
        lanes_.push_back({network_, collectives_++});
      }
    }
    events.name("process_name", network_, 0, "network");
  }

  Lane lane(StreamId stream, std::string_view label) {
    const Lane lane = lanes_.at(static_cast<std::size_t>(stream));
    if (lane.pid == network_ && named_.insert(lane.tid).second) {
      events_.name("thread_name", lane.pid, lane.tid,
                   std::string(label) + " " + std::to_string(lane.tid));
    }
    return lane;
  }

 private:
  void add_device_lane(int device, int stream) {
    const Lane lane{device / devices_per_node_,
                    device % devices_per_node_ + stream * devices_per_node_};
    events_.name(
        "thread_name", lane.pid, lane.tid,
        "device " + std::to_string(device) + stream_name(static_cast<std::size_t>(stream)));
    lanes_.push_back(lane);
  }

  // A single stream needs no name.
  [[nodiscard]] std::string stream_name(std::size_t stream) const {
    if (stream < step_.stream_names.size()) {
      return ", " + step_.stream_names[stream];
    }
    return stream > 0 ? ", stream " + std::to_string(stream) : "";
  }

  const LoweredStep& step_;
  EventList& events_;
  int devices_per_node_;
  int network_;  // its process
  int collectives_ = 0;
  std::vector<Lane> lanes_;  // by stream
  std::set<int> named_;      // threads of the network
};

}  // namespace

std::string timeline_json(const LoweredStep& step, const RunResult& result, int devices_per_node) {
  EventList events;
  Lanes lanes(step, devices_per_node, events);
  std::size_t next_end = 0;
  const auto tasks = step.graph.tasks();
  for (std::size_t id = 0; id < tasks.size(); ++id) {
    const Task& task = tasks[id];
    const std::size_t first = step.first_kernel[static_cast<std::size_t>(task.program)];
    const std::size_t count = step.graph.segments(task.program).size();
    const Lane lane = lanes.lane(task.stream, step.kernels[first].label);
    double start = result.tasks[id].start_s;
    for (std::size_t k = first; k < first + count; ++k) {
      const double end = result.segment_ends_s.at(next_end++);
      events.span(step.kernels[k], task.layer, lane.pid, lane.tid, start, end);
      start = end;
    }
  }
  ensure(next_end == result.segment_ends_s.size(), "every segment's end is drawn once");
  return events.finish();
}

}  // namespace moesim
