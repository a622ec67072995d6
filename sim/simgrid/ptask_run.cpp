#include "sim/simgrid/ptask_run.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <simgrid/kernel/routing/NetPoint.hpp>
#include <simgrid/kernel/routing/NetZoneImpl.hpp>
#include <simgrid/s4u.hpp>
#include <string>
#include <unordered_map>
#include <vector>

#include "sim/core/error.h"

namespace moesim::detail {
namespace {

namespace sg4 = simgrid::s4u;
namespace routing = simgrid::kernel::routing;
using LinkImpl = simgrid::kernel::resource::StandardLinkImpl;

constexpr std::size_t at(std::int32_t index) { return static_cast<std::size_t>(index); }

// SimGrid runs an execution on one host by another path, so there are at least two.
constexpr std::size_t fewest_hosts = 2;
// SimGrid couples executions that name the same hosts, although they leave them idle; with a pair
// of their own, segments on different devices stay apart. More pairs than tasks that run at once
// are no use, fewer cost time only.
constexpr std::size_t most_pairs = 1024;

// Fewest hosts that have a pair (a host with itself included) for every need.
std::size_t hosts_for(std::size_t needs) {
  auto hosts = static_cast<std::size_t>(std::sqrt(static_cast<double>(needs)));
  while (hosts * hosts < needs) {
    ++hosts;
  }
  return std::max(hosts, fewest_hosts);
}

// The route from the a-th to the b-th of the segment's hosts is the resource of need a * hosts + b
// of the segment that is being started, with the segment's latency: ptask_L07 pays the longest
// latency of all routes first and serves all bytes afterwards, which is what a segment is.
class SegmentZone : public routing::NetZoneImpl {
 public:
  SegmentZone() : NetZoneImpl("segments") {}

  // Between starts the zone has no routes: SimGrid asks again when the latency is over, to derive
  // bounds that we do not want.
  void set_segment(std::span<LinkImpl* const> links, std::size_t first_host, std::size_t hosts,
                   double latency_s) {
    links_ = links;
    first_host_ = first_host;
    hosts_ = hosts;
    latency_s_ = latency_s;
  }

 protected:
  void get_local_route(const routing::NetPoint* source, const routing::NetPoint* destination,
                       routing::Route* into, double* latency) override {
    const std::size_t need =
        (source->id() - first_host_) * hosts_ + (destination->id() - first_host_);
    if (need < links_.size()) {
      into->link_list_.push_back(links_[need]);
    }
    if (latency != nullptr) {
      *latency += latency_s_;
    }
  }

 private:
  std::span<LinkImpl* const> links_;
  std::size_t first_host_ = 0;
  std::size_t hosts_ = 0;
  double latency_s_ = 0.0;
};

void configure() {
  for (const char* setting : {
           "host/model:ptask_L07",
           "network/crosstraffic:0",
           "network/TCP-gamma:0",
           // Latencies and dates; the smallest difference that doubles resolve at a second is
           // 1e-16 s.
           "surf/precision:1e-15",
           "root.thres:critical",
       }) {
    if (std::string_view(setting).starts_with("root.")) {
      xbt_log_control_set(setting);
    } else {
      sg4::Engine::set_config(setting);
    }
  }
  // Resources are normalised to a rate of 1, so that this absolute precision is the fraction that
  // the sharing law speaks of.
  sg4::Engine::set_config("maxmin/precision", sharing_precision);
}

class PtaskRun {
 public:
  PtaskRun(const TaskGraph& graph, const PtaskOutput& output)
      : graph_(graph), tasks_(graph.tasks()), output_(output), execs_(tasks_.size()) {
    index_graph();
    build_platform();
  }

  std::uint64_t run() {
    sg4::Activity::on_completion_cb([this](const sg4::Activity& activity) {
      // SimGrid still uses an activity after its own callback, but not in the next one's.
      retired_.clear();
      segment_ended(activity);
      drain();
    });
    for (std::size_t id = 0; id < tasks_.size(); ++id) {
      if (waiting_for_[id] == 0) {
        ready_.push_back(static_cast<TaskId>(id));
      }
    }
    drain();
    sg4::Engine::get_instance()->run();
    ensure(ended_ == tasks_.size(), "SimGrid ends every task");
    return events_;
  }

 private:
  void index_graph() {
    waiting_for_.reserve(tasks_.size());
    successors_.resize(tasks_.size());
    current_.resize(tasks_.size());
    std::size_t segment_ends = 0;
    for (std::size_t id = 0; id < tasks_.size(); ++id) {
      waiting_for_.push_back(tasks_[id].predecessor_count);
      for (const TaskId before : graph_.predecessors(tasks_[id])) {
        successors_[at(before)].push_back(static_cast<TaskId>(id));
      }
      first_end_.push_back(segment_ends);
      segment_ends += graph_.segments(tasks_[id].program).size();
      ensure(graph_.rules(tasks_[id]).executor < 0,
             "SimGrid replays what executors took, it takes nothing");
    }
    for (const Action& action : graph_.actions()) {
      actions_[action.cause].push_back(action);
    }
  }

  void build_platform() {
    zone_ = new SegmentZone;  // SimGrid's engine owns it
    sg4::NetZone* zone = zone_->get_iface();
    std::size_t most_needs = 0;
    for (const Task& task : tasks_) {
      for (const Segment& segment : graph_.segments(task.program)) {
        most_needs = std::max<std::size_t>(most_needs, segment.need_count);
      }
    }
    pairs_ = std::min(tasks_.size(), most_pairs);
    const std::size_t host_count = std::max(hosts_for(most_needs), pairs_ * fewest_hosts);
    for (std::size_t i = 0; i < host_count; ++i) {
      hosts_.push_back(zone->create_host("host" + std::to_string(i), 1.0)->seal());
    }
    for (std::size_t i = 0; i < graph_.resources.size(); ++i) {
      ensure(graph_.resources[i].rate > 0, "a resource's rate is positive");
      sg4::Link* link = zone->create_link("resource" + std::to_string(i), 1.0)->seal();
      rates_.push_back({.link = link});
      links_.push_back(link->get_impl());
    }
    zone->seal();
  }

  // Starts whatever can start now; segments without duration end on the way.
  void drain() {
    while (!ready_.empty()) {
      std::vector<TaskId> batch;
      batch.swap(ready_);
      for (const TaskId id : batch) {
        may_start(id);
      }
    }
  }

  // Its predecessors have ended. Waiting for a date is an execution of nothing but a latency.
  void may_start(TaskId id) {
    const double wait_s = graph_.rules(tasks_[at(id)]).not_before_s - sg4::Engine::get_clock();
    if (stages_[at(id)] == Stage::waiting && !cancelled_[at(id)] && wait_s > 0) {
      stages_[at(id)] = Stage::dated;
      start_exec(id, {.latency_s = wait_s});
      return;
    }
    stages_[at(id)] = Stage::running;
    output_.tasks[at(id)].start_s = sg4::Engine::get_clock();
    ++events_;
    if (cancelled_[at(id)]) {
      end_task(id);
    } else {
      change_holds(id, true);
      begin_segment(id);
    }
  }

  void begin_segment(TaskId id) {
    const auto segments = graph_.segments(tasks_[at(id)].program);
    for (; current_[at(id)] < segments.size(); end_segment(id)) {
      const Segment& segment = segments[current_[at(id)]];
      if (segment.latency_s > 0 || segment.need_count > 0) {
        start_exec(id, segment);
        return;
      }
    }
    change_holds(id, false);
    end_task(id);
  }

  void end_task(TaskId id) {
    const double now_s = sg4::Engine::get_clock();
    const auto segments = graph_.segments(tasks_[at(id)].program).size();
    for (; current_[at(id)] < segments; ++current_[at(id)]) {
      record_end(id, now_s);  // of a cancelled task
    }
    stages_[at(id)] = Stage::ended;
    output_.tasks[at(id)].end_s = now_s;
    ++ended_;
    for (const TaskId after : successors_[at(id)]) {
      if (--waiting_for_[at(after)] == 0) {
        ready_.push_back(after);
      }
    }
    if (const auto found = actions_.find(id); found != actions_.end()) {
      for (const Action& action : found->second) {
        act(action);
      }
    }
  }

  void act(const Action& action) {
    if (action.kind == ActionKind::cancel) {
      cancel(action.target);
      return;
    }
    Rate& rate = rates_[at(action.target)];
    rate.set = action.rate / graph_.resources[at(action.target)].rate;
    rate.apply();
  }

  void cancel(TaskId id) {
    const Stage stage = stages_[at(id)];
    if (stage == Stage::ended || cancelled_[at(id)]) {
      return;
    }
    cancelled_[at(id)] = true;
    if (stage == Stage::waiting) {
      return;
    }
    // SimGrid goes on sharing with an execution that it was told to cancel until the next event,
    // not with one that is suspended.
    const sg4::ExecPtr exec = std::move(execs_[at(id)]);
    task_of_.erase(exec.get());
    exec->suspend();
    abandoned_.push_back(exec);
    if (stage == Stage::running) {
      change_holds(id, false);
    } else {
      output_.tasks[at(id)].start_s = sg4::Engine::get_clock();
    }
    end_task(id);
  }

  void change_holds(TaskId id, bool begins) {
    for (const Hold& hold : graph_.holds(tasks_[at(id)].program)) {
      Rate& rate = rates_[at(hold.resource + tasks_[at(id)].resource_offset)];
      if (begins) {
        rate.held.push_back(hold.fraction);
      } else {
        rate.held.erase(std::ranges::find(rate.held, hold.fraction));
      }
      rate.apply();
    }
  }

  void start_exec(TaskId id, const Segment& segment) {
    const auto needs = graph_.needs(segment);
    const std::size_t hosts = hosts_for(needs.size());
    std::vector<double> bytes(hosts * hosts, 0.0);
    segment_links_.clear();
    for (std::size_t i = 0; i < needs.size(); ++i) {
      const auto resource = static_cast<std::size_t>(std::int64_t{needs[i].resource} +
                                                     tasks_[at(id)].resource_offset);
      ensure(resource < links_.size(), "a task's resources exist");
      segment_links_.push_back(links_[resource]);
      bytes[i] = needs[i].amount / graph_.resources[resource].rate;
    }
    if (needs.empty()) {
      bytes[0] = 1.0;  // over a route without links: the latency alone
    }
    const std::size_t first_host = hosts == fewest_hosts ? at(id) % pairs_ * fewest_hosts : 0;
    zone_->set_segment(segment_links_, first_host, hosts, segment.latency_s);
    sg4::ExecPtr exec = sg4::Exec::init()->set_bytes_amounts(bytes)->set_hosts(
        {&hosts_[first_host], &hosts_[first_host] + hosts});
    exec->start();
    zone_->set_segment({}, 0, 0, 0.0);
    task_of_.emplace(exec.get(), id);
    execs_[at(id)] = std::move(exec);
  }

  void segment_ended(const sg4::Activity& activity) {
    const auto found = task_of_.find(&activity);
    if (found == task_of_.end() &&
        std::ranges::find(abandoned_, &activity, &sg4::ExecPtr::get) != abandoned_.end()) {
      return;  // cancelled at the instant at which it ended
    }
    ensure(found != task_of_.end() && activity.get_state() == sg4::Activity::State::FINISHED,
           "SimGrid finishes the executions that were started");
    const TaskId id = found->second;
    task_of_.erase(found);
    retired_.push_back(std::move(execs_[at(id)]));
    if (stages_[at(id)] == Stage::dated) {
      may_start(id);
      return;
    }
    end_segment(id);
    begin_segment(id);
  }

  void end_segment(TaskId id) {
    ++events_;
    record_end(id, sg4::Engine::get_clock());
    ++current_[at(id)];
  }

  void record_end(TaskId id, double time_s) {
    if (!output_.segment_ends_s.empty()) {
      output_.segment_ends_s[first_end_[at(id)] + current_[at(id)]] = time_s;
    }
  }

  enum class Stage : std::uint8_t { waiting, dated, running, ended };

  struct Rate {
    sg4::Link* link = nullptr;
    double set = 1.0;            // fraction of the nominal rate
    std::vector<double> held{};  // fractions
    void apply() const {
      double free = 1.0;
      for (const double fraction : held) {
        free -= fraction;
      }
      link->set_bandwidth(set * std::max(0.0, free));
    }
  };

  const TaskGraph& graph_;
  std::span<const Task> tasks_;
  PtaskOutput output_;
  std::vector<std::uint32_t> waiting_for_;
  std::vector<std::vector<TaskId>> successors_;
  std::vector<std::size_t> current_;    // segment, by task
  std::vector<std::size_t> first_end_;  // by task
  std::vector<TaskId> ready_;
  std::vector<Stage> stages_ = std::vector<Stage>(tasks_.size());
  std::vector<bool> cancelled_ = std::vector<bool>(tasks_.size());
  std::unordered_map<TaskId, std::vector<Action>> actions_;  // by cause
  std::size_t ended_ = 0;
  std::uint64_t events_ = 0;

  SegmentZone* zone_ = nullptr;
  std::vector<sg4::Host*> hosts_;
  std::size_t pairs_ = 0;
  std::vector<LinkImpl*> links_;  // by resource
  std::vector<Rate> rates_;       // by resource
  std::vector<LinkImpl*> segment_links_;
  std::vector<sg4::ExecPtr> execs_;  // by task
  std::vector<sg4::ExecPtr> retired_;
  std::vector<sg4::ExecPtr> abandoned_;  // cancelled: SimGrid still knows them
  std::unordered_map<const sg4::Activity*, TaskId> task_of_;
};

}  // namespace

PtaskOutputSizes output_sizes(const TaskGraph& graph, bool record_segments) {
  PtaskOutputSizes sizes{.tasks = graph.tasks().size()};
  if (record_segments) {
    for (const Task& task : graph.tasks()) {
      sizes.segment_ends += graph.segments(task.program).size();
    }
  }
  return sizes;
}

std::uint64_t run_ptasks(const TaskGraph& graph, const PtaskOutput& output) {
  std::string name = "moesim";
  std::array<char*, 2> arguments = {name.data(), nullptr};
  int count = 1;
  const sg4::Engine engine(&count, arguments.data());
  configure();
  return PtaskRun(graph, output).run();
}

}  // namespace moesim::detail
