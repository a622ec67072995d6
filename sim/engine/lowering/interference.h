// What communication takes from the kernels that run beside it: multiprocessors. A stated share per
// library, of published figures; none where nobody has published any.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/engine/lowering/lowering.h"

namespace moesim {

struct HeldShare {
  std::string communication;  // a family: "all_to_all/deepep_normal/dispatch"
  double fraction = 0.0;      // of its devices' arithmetic, while it runs; < 1
  int multiprocessors = 0;    // that this is
  std::string source;         // of the figure; or why there is none
};

// Of the two directions of the scenario's all-to-all, and of its collectives. Kernels that wait for
// memory are not slowed: fewer multiprocessors still reach its bandwidth. What transfers themselves
// take of that bandwidth, and copy engines, are in no published figure, and left out.
class Interference {
 public:
  Interference() = default;  // none
  explicit Interference(const LoweringInput& input);

  [[nodiscard]] const std::vector<HeldShare>& rows() const { return rows_; }
  [[nodiscard]] double of(std::string_view communication) const;

 private:
  std::vector<HeldShare> rows_;
};

}  // namespace moesim
