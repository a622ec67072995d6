// Even split. For counts r the layer is a packing of r_e items of load w_e / r_e into bins of
// equally many slots. Counts are listed with a bound below the best known answer, then packed in
// order of their bounds, so that the first bound that is left is a bound for all.
#include "placement/replication/exact_replication.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "sim/core/error.h"
#include "sim/core/index.h"

namespace moesim {
namespace {

// Counts listed at most: memory, not time.
constexpr std::size_t k_most_counts = 2'000'000;
// An answer must be better by this much, relatively.
constexpr double k_better = 1e-12;

class EvenSplit {
 public:
  EvenSplit(std::span<const double> loads, int devices, int slots, const SolverRun& run,
            std::int64_t budget)
      : slots_(at(slots)), devices_(at(devices)), run_(run), budget_(budget), order_(loads.size()) {
    std::iota(order_.begin(), order_.end(), 0);
    std::ranges::stable_sort(order_, [&](int a, int b) { return loads[at(a)] > loads[at(b)]; });
    for (const int e : order_) {
      loads_.push_back(loads[at(e)]);
      total_ += loads_.back();
    }
  }

  ExactReplication solve() {
    start();
    counts_.assign(loads_.size(), 1);
    bool complete = list_counts(0, devices_ * slots_);
    std::ranges::stable_sort(candidates_, {}, &Candidate::bound);
    double bound = total_ / static_cast<double>(devices_);
    // Counts that no answer can do without: the greedy rule is optimal for the largest replica.
    bound = std::max(bound, greedy_peak_);
    double first_left = answer_.max_load;
    for (const Candidate& candidate : candidates_) {
      if (!(candidate.bound < limit())) {
        break;
      }
      if (!complete_packing(candidate.counts)) {
        first_left = candidate.bound;
        complete = false;
        break;
      }
    }
    answer_.lower_bound = complete      ? answer_.max_load
                          : listed_all_ ? std::min(answer_.max_load, std::max(bound, first_left))
                                        : std::min(answer_.max_load, bound);
    answer_.proven = answer_.lower_bound >= answer_.max_load;
    return std::move(answer_);
  }

 private:
  struct Candidate {
    double bound = 0.0;
    std::vector<int> counts;
  };
  struct Item {
    double load = 0.0;
    std::size_t expert = 0;  // by rank
  };

  [[nodiscard]] double limit() const { return answer_.max_load * (1.0 - k_better); }
  bool spend() {
    --budget_;
    return budget_ >= 0 && ((budget_ & 255) != 0 || !run_.stopped());
  }

  [[nodiscard]] std::vector<Item> items_of(const std::vector<int>& counts) const {
    std::vector<Item> items;
    for (std::size_t e = 0; e < counts.size(); ++e) {
      items.insert(items.end(), at(counts[e]), {loads_[e] / counts[e], e});
    }
    std::ranges::stable_sort(items, [](const Item& a, const Item& b) { return a.load > b.load; });
    return items;
  }

  // Greedy counts, heaviest item first onto the least busy device.
  void start() {
    std::vector<int> counts(loads_.size(), 1);
    const auto peak = [&](std::size_t e) { return loads_[e] / counts[e]; };
    for (std::size_t extra = loads_.size(); extra < devices_ * slots_; ++extra) {
      std::size_t most = 0;
      for (std::size_t e = 1; e < counts.size(); ++e) {
        most = peak(e) > peak(most) ? e : most;
      }
      ++counts[most];
    }
    for (std::size_t e = 0; e < counts.size(); ++e) {
      greedy_peak_ = std::max(greedy_peak_, peak(e));
    }
    items_ = items_of(counts);
    reset_bins();
    for (const Item& item : items_) {
      std::size_t best = devices_;
      for (std::size_t b = 0; b < devices_; ++b) {
        if (held_[b].size() < slots_ && (best == devices_ || busy_[b] < busy_[best])) {
          best = b;
        }
      }
      held_[best].push_back(item.expert);
      busy_[best] += item.load;
    }
    adopt();
  }

  void adopt() {
    answer_.max_load = *std::ranges::max_element(busy_);
    answer_.experts_on_device.clear();
    for (const auto& held : held_) {
      std::vector<int> experts;
      for (const std::size_t rank : held) {
        experts.push_back(order_[rank]);
      }
      std::ranges::sort(experts);
      answer_.experts_on_device.push_back(std::move(experts));
    }
  }

  void reset_bins() {
    held_.assign(devices_, {});
    busy_.assign(devices_, 0.0);
  }

  [[nodiscard]] int fewest(std::size_t e) const {
    int count = 1;
    while (!(loads_[e] / count < limit()) && loads_[e] > 0.0) {
      ++count;
    }
    return count;
  }

  // All counts from expert e on with a bound below the best answer. False: gave up.
  bool list_counts(std::size_t e, std::size_t left) {  // NOLINT(misc-no-recursion): experts deep
    if (!spend() || candidates_.size() >= k_most_counts) {
      listed_all_ = false;
      return false;
    }
    if (e + 1 == loads_.size()) {
      counts_[e] = static_cast<int>(left);
      if (loads_[e] / counts_[e] < limit()) {
        const double bound = packing_bound(items_of(counts_));
        if (bound < limit()) {
          candidates_.push_back({bound, counts_});
        }
      }
      return true;
    }
    std::size_t others = 0;
    for (std::size_t o = e + 1; o < loads_.size(); ++o) {
      others += at(fewest(o));
    }
    for (std::size_t count = at(fewest(e)); count + others <= left; ++count) {
      counts_[e] = static_cast<int>(count);
      if (!list_counts(e + 1, left - count)) {
        return false;
      }
    }
    return true;
  }

  // Some device holds j + 1 of the j * devices + 1 heaviest items, and its other slots are filled.
  [[nodiscard]] double packing_bound(const std::vector<Item>& items) const {
    double bound = total_ / static_cast<double>(devices_);
    for (std::size_t j = 0; j < slots_; ++j) {
      double load = 0.0;
      for (std::size_t i = 0; i <= j; ++i) {
        load += items[j * devices_ - i].load;
      }
      for (std::size_t i = 0; i + j + 1 < slots_; ++i) {
        load += items[items.size() - 1 - i].load;
      }
      bound = std::max(bound, load);
    }
    return bound;
  }

  // Searches all packings of these counts that beat the best answer. False: gave up.
  bool complete_packing(const std::vector<int>& counts) {
    items_ = items_of(counts);
    lightest_.assign(slots_ + 1, 0.0);
    for (std::size_t i = 0; i < slots_; ++i) {
      lightest_[i + 1] = lightest_[i] + items_[items_.size() - 1 - i].load;
    }
    reset_bins();
    bin_of_.assign(items_.size(), 0);
    return pack(0, total_);
  }

  // Items from i on, which weigh `left`.
  bool pack(std::size_t i, double left) {  // NOLINT(misc-no-recursion): depth is the slots
    if (!spend()) {
      return false;
    }
    if (i == items_.size()) {
      adopt();
      return true;
    }
    double room = 0.0;
    for (std::size_t b = 0; b < devices_; ++b) {
      room += std::min(limit() - busy_[b],
                       static_cast<double>(slots_ - held_[b].size()) * items_[i].load);
    }
    if (room < left - 1e-9 * total_) {
      return true;
    }
    // Replicas of one expert in order of their devices.
    const std::size_t first =
        i > 0 && items_[i - 1].expert == items_[i].expert ? bin_of_[i - 1] : 0;
    for (std::size_t b = first; b < devices_; ++b) {
      if (held_[b].size() == slots_ || seen_before(first, b)) {
        continue;
      }
      const double then = busy_[b] + items_[i].load;
      if (!(then + lightest_[slots_ - held_[b].size() - 1] * (1.0 - 1e-9) < limit())) {
        continue;
      }
      const double before = busy_[b];
      busy_[b] = then;
      held_[b].push_back(items_[i].expert);
      bin_of_[i] = b;
      const bool done = pack(i + 1, left - items_[i].load);
      held_[b].pop_back();
      busy_[b] = before;
      if (!done) {
        return false;
      }
    }
    return true;
  }

  // Devices in the same state are interchangeable: the first is enough.
  [[nodiscard]] bool seen_before(std::size_t first, std::size_t b) const {
    for (std::size_t other = first; other < b; ++other) {
      if (busy_[other] == busy_[b] && held_[other].size() == held_[b].size()) {
        return true;
      }
    }
    return false;
  }

  std::size_t slots_;
  std::size_t devices_;
  const SolverRun& run_;
  std::int64_t budget_;
  std::vector<int> order_;     // [rank] -> expert, heaviest first
  std::vector<double> loads_;  // [rank]
  double total_ = 0.0;
  double greedy_peak_ = 0.0;
  bool listed_all_ = true;
  std::vector<int> counts_;
  std::vector<Candidate> candidates_;
  std::vector<Item> items_;
  std::vector<double> lightest_;  // [n]: load of the n lightest items
  std::vector<std::size_t> bin_of_;
  std::vector<std::vector<std::size_t>> held_;
  std::vector<double> busy_;
  ExactReplication answer_;
};

}  // namespace

ExactReplication exact_even_replication(std::span<const double> loads, int devices,
                                        int slots_per_device, const SolverRun& run,
                                        std::int64_t node_budget) {
  return EvenSplit(loads, devices, slots_per_device, run, node_budget).solve();
}

ExactReplication exact_replication(std::span<const double> loads, int devices, int slots_per_device,
                                   ReplicaSplit split, SolverRun& run, std::int64_t node_budget) {
  ensure(!loads.empty() && devices > 0 && slots_per_device > 0 &&
             loads.size() <= at(devices) * at(slots_per_device),
         "every expert has a slot");
  ExactReplication answer =
      split == ReplicaSplit::even
          ? exact_even_replication(loads, devices, slots_per_device, run, node_budget)
          : exact_free_replication(loads, devices, slots_per_device, run, node_budget);
  run.note_objective(answer.max_load);
  run.note_bound(answer.lower_bound);
  return answer;
}

}  // namespace moesim
