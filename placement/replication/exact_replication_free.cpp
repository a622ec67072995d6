// Free split: a placement is worth max over sets S of experts of load(S) / devices(S). Can the
// busiest device be kept at M? Splits of an optimal answer form a forest of experts and devices (an
// extreme point of the flow), and a forest has a device that finishes all its experts but at most
// one. So the search fills device after device: it finishes some experts and, if a slot and room
// are left, takes what fits of one more. The state is what is left of every expert; states seen
// before are not searched again.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "placement/evaluate.h"
#include "placement/replication/exact_replication.h"
#include "sim/core/error.h"
#include "sim/core/index.h"

namespace moesim {
namespace {

constexpr std::size_t k_most_states = 2'000'000;
// M is known this well in the end, relatively.
constexpr double k_better = 1e-9;

enum class Verdict { possible, impossible, unknown };

// Can `devices` devices of `slots` slots serve the loads at `most` each?
class Filling {
 public:
  Filling(std::span<const double> loads, int devices, int slots, double most, const SolverRun& run,
          std::int64_t& budget)
      : slots_(at(slots)), most_(most), run_(run), budget_(budget), devices_(at(devices)) {
    for (std::size_t e = 0; e < loads.size(); ++e) {
      left_.push_back({loads[e], static_cast<int>(e)});
    }
    sort();
  }

  Verdict solve() { return search(); }
  [[nodiscard]] const std::vector<std::vector<int>>& filled() const { return filled_; }

 private:
  struct Part {
    double load = 0.0;
    int expert = 0;
  };

  void sort() {
    std::ranges::sort(left_, [](const Part& a, const Part& b) {
      return a.load != b.load ? a.load > b.load : a.expert < b.expert;
    });
  }

  [[nodiscard]] double slack() const { return most_ * 1e-12; }

  // Counting arguments: total load, and slots of experts that need several devices.
  [[nodiscard]] bool hopeless(std::size_t devices) const {
    double total = 0.0;
    double slots = 0.0;
    for (const Part& part : left_) {
      total += part.load;
      slots += std::max(1.0, std::ceil(part.load / most_ - 1e-9));
    }
    return total > most_ * static_cast<double>(devices) * (1.0 + 1e-12) ||
           slots > static_cast<double>(devices * slots_);
  }

  bool seen_before(std::size_t devices) {
    std::vector<std::int64_t> key{static_cast<std::int64_t>(devices)};
    for (const Part& part : left_) {
      key.push_back(std::llround(part.load / most_ * 0x1p36));
    }
    return seen_.size() < k_most_states && !seen_.insert(std::move(key)).second;
  }

  Verdict search() {  // NOLINT(misc-no-recursion): depth is the devices
    if (left_.empty()) {
      return Verdict::possible;
    }
    const std::size_t devices = devices_ - filled_.size();
    if (devices == 0 || hopeless(devices) || seen_before(devices)) {
      return Verdict::impossible;
    }
    std::vector<std::size_t> chosen;
    return choose(chosen, 0, most_);
  }

  // Extends the experts that this device finishes by those from `first` on; `room` is left.
  Verdict choose(std::vector<std::size_t>& chosen, std::size_t first,
                 double room) {  // NOLINT(misc-no-recursion)
    if (chosen.size() == slots_ || chosen.size() == left_.size()) {
      return descend(chosen, left_.size(), 0.0);
    }
    for (std::size_t i = first; i < left_.size(); ++i) {  // one more finished here
      const bool same = i > first && left_[i].load == left_[i - 1].load;
      if (same || left_[i].load > room + slack()) {
        continue;
      }
      chosen.push_back(i);
      const double load = left_[i].load;
      const Verdict verdict = choose(chosen, i + 1, std::max(0.0, room - load));
      chosen.pop_back();
      if (verdict != Verdict::impossible) {
        return verdict;
      }
    }
    // Or one more that goes on elsewhere. Where all others would fit, finishing one is no worse.
    for (std::size_t i = 0; i < left_.size() && room > slack(); ++i) {
      const bool same = i > 0 && left_[i].load == left_[i - 1].load &&
                        std::ranges::find(chosen, i - 1) == chosen.end();
      if (same || left_[i].load <= room + slack() || std::ranges::find(chosen, i) != chosen.end()) {
        continue;
      }
      const Verdict verdict = descend(chosen, i, room);
      if (verdict != Verdict::impossible) {
        return verdict;
      }
    }
    // Nothing else fits, or no room is left: the device ends here.
    if (!chosen.empty()) {
      return descend(chosen, left_.size(), 0.0);
    }
    return Verdict::impossible;
  }

  // Fills a device with `chosen` and `room` of the part `shared` (none: left_.size()).
  Verdict descend(const std::vector<std::size_t>& chosen, std::size_t shared,
                  double room) {  // NOLINT(misc-no-recursion)
    if (--budget_ < 0 || ((budget_ & 255) == 0 && run_.stopped())) {
      return Verdict::unknown;
    }
    std::vector<Part> before = left_;
    std::vector<int> device;
    left_.clear();
    for (std::size_t i = 0; i < before.size(); ++i) {
      const bool finished = std::ranges::find(chosen, i) != chosen.end();
      if (finished || i == shared) {
        device.push_back(before[i].expert);
      }
      if (!finished) {
        left_.push_back({before[i].load - (i == shared ? room : 0.0), before[i].expert});
      }
    }
    sort();
    filled_.push_back(std::move(device));
    const Verdict verdict = search();
    if (verdict != Verdict::possible) {
      filled_.pop_back();
      left_ = std::move(before);
    }
    return verdict;
  }

  std::size_t slots_;
  double most_;
  const SolverRun& run_;
  std::int64_t& budget_;
  std::size_t devices_;
  std::vector<Part> left_;
  std::vector<std::vector<int>> filled_;
  std::set<std::vector<std::int64_t>> seen_;
};

// Fills every slot (more replicas never hurt a free split) with the heaviest experts per replica.
std::vector<std::vector<int>> with_all_slots(std::span<const double> loads, int devices, int slots,
                                             std::vector<std::vector<int>> held) {
  held.resize(at(devices));
  std::vector<int> copies(loads.size(), 0);
  for (const auto& device : held) {
    for (const int e : device) {
      ++copies[at(e)];
    }
  }
  for (auto& device : held) {
    while (device.size() < at(slots)) {
      int best = -1;
      for (int e = 0; e < static_cast<int>(loads.size()); ++e) {
        const auto gain = [&](int x) { return loads[at(x)] / (1.0 + copies[at(x)]); };
        if (std::ranges::find(device, e) == device.end() && (best < 0 || gain(e) > gain(best))) {
          best = e;
        }
      }
      best = best < 0 ? 0 : best;  // fewer experts than slots: a replica more of any
      device.push_back(best);
      ++copies[at(best)];
    }
    std::ranges::sort(device);
  }
  return held;
}

double busiest_of(std::span<const double> loads, int slots,
                  const std::vector<std::vector<int>>& held) {
  PlacementProblem problem;
  problem.layers = 1;
  problem.experts = static_cast<int>(loads.size());
  problem.devices = static_cast<int>(held.size());
  problem.devices_per_node = problem.devices;
  problem.capacity.assign(held.size(), slots);
  problem.split = ReplicaSplit::optimal;
  problem.loads = {{loads.begin(), loads.end()}};
  ExpertPlacement placement;
  placement.experts = problem.experts;
  placement.devices = problem.devices;
  placement.first_slot = {0};
  placement.slot_expert.emplace_back();
  for (const auto& device : held) {
    placement.first_slot.push_back(placement.first_slot.back() + slots);
    placement.slot_expert[0].insert(placement.slot_expert[0].end(), device.begin(), device.end());
  }
  const std::vector<double> busy = device_loads(problem, placement, 0);
  return *std::ranges::max_element(busy);
}

}  // namespace

ExactReplication exact_free_replication(std::span<const double> loads, int devices,
                                        int slots_per_device, const SolverRun& run,
                                        std::int64_t node_budget) {
  // An even split of the same slots is an answer of the free one.
  ExactReplication answer =
      exact_even_replication(loads, devices, slots_per_device, run, node_budget / 10);
  answer.max_load = busiest_of(loads, slots_per_device, answer.experts_on_device);
  const double mean = std::accumulate(loads.begin(), loads.end(), 0.0) / devices;
  answer.lower_bound = mean;
  bool sure = true;
  double low = mean;  // below: impossible, or too hard
  while (answer.max_load * (1.0 - k_better) > low && node_budget > 0 && !run.stopped()) {
    // The mean first (often reached), then halves, in the end just below the best.
    const double half = low == mean ? mean * (1.0 + k_better) : 0.5 * (low + answer.max_load);
    const double most =
        half > answer.max_load * (1.0 - 1e-4) ? answer.max_load * (1.0 - k_better) : half;
    std::int64_t budget = node_budget / 2 + 1;
    node_budget -= budget;
    Filling filling(loads, devices, slots_per_device, most, run, budget);
    const Verdict verdict = filling.solve();
    node_budget += std::max<std::int64_t>(budget, 0);
    if (verdict == Verdict::possible) {
      auto held = with_all_slots(loads, devices, slots_per_device, filling.filled());
      const double busiest = busiest_of(loads, slots_per_device, held);
      ensure(busiest <= most * (1.0 + 1e-10), "a filling keeps its promise");
      answer.max_load = busiest;
      answer.experts_on_device = std::move(held);
      continue;
    }
    low = most;
    sure = sure && verdict == Verdict::impossible;
    answer.lower_bound = sure ? most : answer.lower_bound;
  }
  sure = sure && answer.max_load * (1.0 - k_better) <= answer.lower_bound;
  answer.proven = sure;
  answer.lower_bound = std::min(answer.lower_bound, answer.max_load);
  return answer;
}

}  // namespace moesim
