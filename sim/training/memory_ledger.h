// Memory over time: what is taken and given back, where, when and for what, in whole bytes. The
// ledger knows no schedules; iteration_ledger() fills one from a training iteration.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/core/units.h"
#include "sim/training/pipeline.h"
#include "sim/training/pipeline_times.h"
#include "sim/training/stage_memory.h"

namespace moesim {

enum class MemoryKind : std::uint8_t {
  weights,
  gradients,
  optimizer,
  buffers,
  activations,
  transient,  // while a pass runs
};
inline constexpr std::size_t k_memory_kinds = 6;
std::string_view name_of(MemoryKind kind);

using BytesByKind = std::array<std::int64_t, k_memory_kinds>;

struct MemoryEvent {
  Seconds time{};
  std::int32_t device = 0;
  std::int32_t tier = 0;
  MemoryKind kind = MemoryKind::weights;
  std::int64_t bytes = 0;         // < 0: given back
  std::int32_t micro_batch = -1;  // whose, if anybody's
};

// What a device keeps in a tier from `time` to the next level.
struct MemoryLevel {
  Seconds time;
  BytesByKind by_kind{};

  [[nodiscard]] std::int64_t total() const;
};

struct MemoryPeak {
  std::int32_t device = 0;
  std::int32_t tier = 0;
  MemoryLevel level;  // the first that is as high as any
  MemoryEvent cause;  // what reached it
  std::int64_t capacity = 0;

  [[nodiscard]] bool fits() const { return level.total() <= capacity; }
  [[nodiscard]] std::int64_t shortfall() const { return fits() ? 0 : level.total() - capacity; }
};

struct LedgerTier {
  std::string name;           // "device", "host"
  std::int64_t capacity = 0;  // of each device, bytes
};

class MemoryLedger {
 public:
  MemoryLedger(int devices, std::vector<LedgerTier> tiers);

  // In any order of time. Throws InvariantError for devices and tiers that do not exist.
  void add(const MemoryEvent& event);

  // Levels in order of time; at one instant what is given back goes before what is taken. Throws
  // InvariantError where more of a kind is given back than was taken.
  [[nodiscard]] std::vector<MemoryLevel> levels(int device, int tier) const;
  // Not fitting is a result.
  [[nodiscard]] MemoryPeak peak(int device, int tier) const;
  // Of all tiers of all devices, by device, then tier.
  [[nodiscard]] std::vector<MemoryPeak> peaks() const;

  [[nodiscard]] std::span<const LedgerTier> tiers() const { return tiers_; }

 private:
  template <class Visit>
  void replay(int device, int tier, Visit visit) const;  // visit(event, level after it)

  int devices_;
  std::vector<LedgerTier> tiers_;
  std::vector<std::vector<MemoryEvent>> events_;  // by device and tier
};

struct IterationMemory {
  const PipelineSchedule& schedule;
  std::span<const StageMemory> stages;
  // [stage][action]: when the passes run.
  std::span<const std::vector<PassSpan>> passes;
  Bytes device_capacity;
  Bytes host_capacity{};           // per device
  bool optimizer_on_host = false;  // its states live in the host's memory
};

// Tier 0 is the devices' memory, tier 1 the host's; one device per stage. Fixed parts are there
// from time 0 on. The activations of a micro-batch on a chunk are kept from the start of its
// forward to the end of its backward (or weight gradients), what a pass needs besides while it
// runs. Bytes are rounded up to whole ones, each part for itself.
MemoryLedger iteration_ledger(const IterationMemory& iteration);

}  // namespace moesim
