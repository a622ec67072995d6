#include "sim/training/memory_ledger.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>

#include "sim/core/error.h"
#include "sim/core/index.h"

namespace moesim {

std::string_view name_of(MemoryKind kind) {
  static constexpr std::array<std::string_view, k_memory_kinds> names{
      "weights", "gradients", "optimizer", "buffers", "activations", "transient"};
  return names[static_cast<std::size_t>(kind)];
}

std::int64_t MemoryLevel::total() const {
  return std::accumulate(by_kind.begin(), by_kind.end(), std::int64_t{0});
}

MemoryLedger::MemoryLedger(int devices, std::vector<LedgerTier> tiers)
    : devices_(devices), tiers_(std::move(tiers)), events_(at(devices) * tiers_.size()) {}

void MemoryLedger::add(const MemoryEvent& event) {
  ensure(event.device >= 0 && event.device < devices_ && event.tier >= 0 &&
             at(event.tier) < tiers_.size(),
         "memory is taken of a device and a tier that exist");
  events_[at(event.device) * tiers_.size() + at(event.tier)].push_back(event);
}

template <class Visit>
void MemoryLedger::replay(int device, int tier, Visit visit) const {
  std::vector<MemoryEvent> events = events_.at(at(device) * tiers_.size() + at(tier));
  std::ranges::stable_sort(
      events, {}, [](const MemoryEvent& event) { return std::tuple(event.time, event.bytes > 0); });
  MemoryLevel level;
  for (const MemoryEvent& event : events) {
    std::int64_t& kept = level.by_kind[static_cast<std::size_t>(event.kind)];
    kept += event.bytes;
    level.time = event.time;
    ensure(kept >= 0, "only memory that was taken is given back");
    visit(event, level);
  }
}

std::vector<MemoryLevel> MemoryLedger::levels(int device, int tier) const {
  std::vector<MemoryLevel> result;
  replay(device, tier, [&result](const MemoryEvent& /*event*/, const MemoryLevel& level) {
    result.push_back(level);
  });
  return result;
}

MemoryPeak MemoryLedger::peak(int device, int tier) const {
  MemoryPeak peak{.device = device,
                  .tier = tier,
                  .level = {},
                  .cause = {},
                  .capacity = tiers_.at(at(tier)).capacity};
  replay(device, tier, [&peak](const MemoryEvent& event, const MemoryLevel& level) {
    if (level.total() > peak.level.total()) {
      peak.level = level;
      peak.cause = event;
    }
  });
  return peak;
}

std::vector<MemoryPeak> MemoryLedger::peaks() const {
  std::vector<MemoryPeak> result;
  for (int device = 0; device < devices_; ++device) {
    for (int tier = 0; at(tier) < tiers_.size(); ++tier) {
      result.push_back(peak(device, tier));
    }
  }
  return result;
}

namespace {

constexpr std::int32_t device_tier = 0;
constexpr std::int32_t host_tier = 1;

std::int64_t whole(Bytes bytes) { return static_cast<std::int64_t>(std::ceil(bytes.si())); }

// Of one stage, with everything else of the events filled in.
class StageEntries {
 public:
  StageEntries(MemoryLedger& ledger, std::int32_t stage) : ledger_(ledger), stage_(stage) {}

  void add_fixed(const StageMemory& memory, bool optimizer_on_host) {
    take(Seconds(0), MemoryKind::weights, memory.weights);
    take(Seconds(0), MemoryKind::gradients, memory.gradients);
    take(Seconds(0), MemoryKind::optimizer, memory.optimizer,
         optimizer_on_host ? host_tier : device_tier);
    take(Seconds(0), MemoryKind::buffers, memory.buffers);
  }
  void add_pass(const StageMemory& memory, const PipelineAction& action, const PassSpan& span) {
    micro_batch_ = action.micro_batch;
    const Bytes kept = memory.activations.at(at(action.chunk));
    const Bytes transient = memory.transient.at(at(action.chunk));
    take(span.start, MemoryKind::transient, transient);
    give_back(span.end, MemoryKind::transient, transient);
    if (action.pass == Pass::forward) {
      take(span.start, MemoryKind::activations, kept);
    } else if (action.pass != Pass::input_grad) {
      give_back(span.end, MemoryKind::activations, kept);
    }
  }

 private:
  void enter(Seconds time, MemoryKind kind, std::int64_t bytes, std::int32_t tier) {
    if (bytes != 0) {
      ledger_.add({.time = time,
                   .device = stage_,
                   .tier = tier,
                   .kind = kind,
                   .bytes = bytes,
                   .micro_batch = micro_batch_});
    }
  }
  void take(Seconds time, MemoryKind kind, Bytes bytes, std::int32_t tier = device_tier) {
    enter(time, kind, whole(bytes), tier);
  }
  void give_back(Seconds time, MemoryKind kind, Bytes bytes) {
    enter(time, kind, -whole(bytes), device_tier);
  }

  MemoryLedger& ledger_;
  std::int32_t stage_;
  std::int32_t micro_batch_ = -1;
};

}  // namespace

MemoryLedger iteration_ledger(const IterationMemory& iteration) {
  const PipelineSchedule& schedule = iteration.schedule;
  ensure(iteration.stages.size() == schedule.actions.size() &&
             iteration.passes.size() == schedule.actions.size(),
         "every stage has its memory and the times of its passes");
  MemoryLedger ledger(schedule.stages(),
                      {{.name = "device", .capacity = whole(iteration.device_capacity)},
                       {.name = "host", .capacity = whole(iteration.host_capacity)}});
  for (std::int32_t s = 0; s < schedule.stages(); ++s) {
    const StageMemory& memory = iteration.stages[at(s)];
    const auto& order = schedule.actions[at(s)];
    ensure(iteration.passes[at(s)].size() == order.size(), "every pass has its times");
    StageEntries entries(ledger, s);
    entries.add_fixed(memory, iteration.optimizer_on_host);
    for (std::size_t i = 0; i < order.size(); ++i) {
      entries.add_pass(memory, order[i], iteration.passes[at(s)][i]);
    }
  }
  return ledger;
}

}  // namespace moesim
