// Where a group's predictions are worst: errors by size, experts per rank, ranks and measured time.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "calibrate/validate/judged_point.h"

namespace moesim {

// The rows of a group whose variable lies in [from, to), to = 4 from.
struct Regime {
  std::string variable;  // a dimension's name, or "measured_s"
  double from = 0.0;
  double to = 0.0;
  std::int64_t n = 0;
  double median_ape = 0.0;
  double p90_ape = 0.0;
};

// Takes points, keeps one number per point and variable. The variables: the shape's size (m,
// tokens, context, bytes read or bytes moved, whichever it has), local_experts, ranks, measured_s.
class Regimes {
 public:
  void add(const JudgedPoint& point);

  // By group: the regime with the largest median error among those that hold at least 10 rows and
  // 2 % of the group; none for smaller groups.
  [[nodiscard]] std::map<std::string, Regime> worst() const;

 private:
  struct Bucket {
    std::string_view variable;  // static
    int exponent = 0;           // from = 4^exponent
    friend auto operator<=>(const Bucket&, const Bucket&) = default;
  };
  using Errors = std::map<Bucket, std::vector<float>>;
  static void note(Errors& errors, std::string_view variable, double value, double error);

  std::map<std::string, Errors, std::less<>> groups_;
};

}  // namespace moesim
