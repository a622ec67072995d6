// An assignment of items to devices with everything that local search asks for, kept up to date
// swap by swap. Devices with slots left over hold dummy items without load, so that a move into an
// empty slot is a swap too.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "placement/problem.h"
#include "placement/solver.h"

namespace moesim {

class SearchState {
 public:
  // `problem` must outlive the state. Items first, then dummies, fill all slots.
  SearchState(const PlacementProblem& problem, const Assignment& devices);

  [[nodiscard]] const PlacementProblem& problem() const { return problem_; }
  [[nodiscard]] int places() const { return places_; }  // items and dummies per layer
  [[nodiscard]] int device(int layer, int item) const { return device_[index(layer, item)]; }
  [[nodiscard]] double load(int layer, int device) const {
    return load_[static_cast<std::size_t>(layer) * devices_ + static_cast<std::size_t>(device)];
  }
  [[nodiscard]] double item_load(int layer, int item) const {
    return item < problem_.experts
               ? problem_.loads[static_cast<std::size_t>(layer)][static_cast<std::size_t>(item)]
               : 0.0;
  }
  // Items (and dummies) on a device.
  [[nodiscard]] const std::vector<std::int32_t>& items_on(int layer, int device) const {
    return items_on_[static_cast<std::size_t>(layer) * devices_ + static_cast<std::size_t>(device)];
  }
  [[nodiscard]] double layer_max(int layer) const { return max_[static_cast<std::size_t>(layer)]; }
  [[nodiscard]] int busiest(int layer) const;
  [[nodiscard]] double objective() const;

  // Would exchanging the devices of two items break a rule (forbidden device, two replicas of one
  // expert on one device) that is not broken now?
  [[nodiscard]] bool swap_allowed(int layer, int a, int b) const;
  // Rules broken by the item where it is.
  [[nodiscard]] bool misplaced(int layer, int item) const;

  // Change of beta * traffic, of alpha * max load, and of kappa * alpha * sum of squared loads /
  // (2 * mean) when items a and b of a layer exchange devices.
  [[nodiscard]] double traffic_delta(int layer, int a, int b) const;
  [[nodiscard]] double load_delta(int layer, int a, int b) const;
  [[nodiscard]] double square_delta(int layer, int a, int b) const;

  // dispatch: traffic_delta guessed from pairs of items that share tokens, without a walk through
  // the tokens.
  [[nodiscard]] double estimated_delta(int layer, int a, int b) const;

  void swap(int layer, int a, int b);

  // beta * traffic of the item's pairs if it were on the device and nothing else moved
  // (interlayer; 0 otherwise).
  [[nodiscard]] double traffic_at(int layer, int item, int device) const;

  // Without dummies.
  [[nodiscard]] Assignment assignment() const;

 private:
  [[nodiscard]] std::size_t index(int layer, int item) const {
    return static_cast<std::size_t>(layer) * static_cast<std::size_t>(places_) +
           static_cast<std::size_t>(item);
  }
  [[nodiscard]] std::size_t affinity_row(int layer, int item) const {
    return (static_cast<std::size_t>(layer) * static_cast<std::size_t>(problem_.experts) +
            static_cast<std::size_t>(item));
  }
  [[nodiscard]] bool twin_on(int layer, int item, int device) const;
  struct Move {
    int item;
    int other;  // goes the opposite way
    int from;
    int to;
  };
  struct TokenPlaces;
  [[nodiscard]] TokenPlaces places_of(int layer, std::span<const std::uint16_t> token,
                                      const Move& move) const;
  [[nodiscard]] double visits_delta(int layer, const Move& move) const;
  [[nodiscard]] double dispatch_delta(int layer, int a, int b) const;
  void prepare_affinity();
  void prepare_tokens();
  void move_affinity(int layer, int item, int from, int to);
  void refresh_max(int layer);

  const PlacementProblem& problem_;
  int places_ = 0;
  std::size_t devices_ = 0;
  std::size_t nodes_ = 0;
  std::vector<std::int32_t> device_;                 // [layer][place]
  std::vector<std::vector<std::int32_t>> items_on_;  // [layer][device]
  std::vector<double> load_;                         // [layer][device]
  std::vector<double> max_;                          // [layer]: slowness * load
  std::vector<double> mean_;                         // [layer]
  std::vector<std::uint8_t> copies_;                 // [layer][expert][device], items only
  int original_experts_ = 0;
  // Pairs of an item with items on a device, in a node: of the neighbouring layers (interlayer), or
  // of its own layer (dispatch).
  std::vector<double> device_affinity_;          // [layer][item][device]
  std::vector<double> node_affinity_;            // [layer][item][node]
  std::vector<std::vector<double>> transposed_;  // of the transitions
  // dispatch: tokens of the sample that use an item.
  std::vector<std::uint32_t> first_token_;  // [layer][item], and the end
  std::vector<std::uint32_t> tokens_;
  std::vector<std::vector<float>> shared_tokens_;  // [layer][a * items + b]
};

}  // namespace moesim
