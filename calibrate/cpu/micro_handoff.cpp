// How long a thread needs to see what another one did: a flag in a spin loop, std::atomic::wait,
// and a condition variable. One call is one hand-over, half of a round trip.
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "calibrate/cpu/micro_case.h"

namespace moesim::detail {
namespace {

constexpr int k_round_trips = 50;

struct Table {
  alignas(64) std::atomic<int> turn{0};
  std::mutex mutex;
  std::condition_variable changed;
};

void await(Table& table, const std::string& kernel, int turn) {
  if (kernel == "handoff_spin") {
    while (table.turn.load(std::memory_order_acquire) != turn) {
      spin_pause();
    }
  } else if (kernel == "handoff_wait") {
    for (int now = table.turn.load(); now != turn; now = table.turn.load()) {
      table.turn.wait(now);
    }
  } else {
    std::unique_lock lock(table.mutex);
    table.changed.wait(lock, [&] { return table.turn.load() == turn; });
  }
}

void hand_over(Table& table, const std::string& kernel, int turn) {
  if (kernel == "handoff_condition") {
    {
      const std::scoped_lock lock(table.mutex);
      table.turn = turn;
    }
    table.changed.notify_one();
    return;
  }
  table.turn.store(turn, std::memory_order_release);
  if (kernel == "handoff_wait") {
    table.turn.notify_one();
  }
}

}  // namespace

std::vector<MicroCase> handoff_cases(const MicroMachine& machine, bool /*quick*/) {
  std::vector<MicroCase> cases;
  if (machine.team.size() < 2) {
    return cases;
  }
  for (const std::string kernel : {"handoff_spin", "handoff_wait", "handoff_condition"}) {
    auto table = std::make_shared<Table>();
    cases.push_back({{kernel, 2, 0, 0, 0, 0, 1}, [=, &machine] {
                       table->turn = 0;
                       TimedSample sample = machine.team.run(2, [&](int rank) {
                         for (int i = 0; i < k_round_trips; ++i) {
                           await(*table, kernel, 2 * i + rank);
                           hand_over(*table, kernel, 2 * i + rank + 1);
                         }
                       });
                       sample.seconds /= 2 * k_round_trips;
                       return sample;
                     }});
  }
  return cases;
}

}  // namespace moesim::detail
