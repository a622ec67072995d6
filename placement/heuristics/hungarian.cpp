#include "placement/heuristics/hungarian.h"

#include <limits>

#include "sim/core/error.h"

namespace moesim {

std::vector<int> cheapest_assignment(std::span<const double> cost, std::size_t n) {
  ensure(cost.size() == n * n, "an assignment problem is square");
  constexpr double infinity = std::numeric_limits<double>::infinity();
  // Rows and columns count from 1; column 0 is where a new row starts.
  std::vector<double> row_price(n + 1, 0.0);
  std::vector<double> column_price(n + 1, 0.0);
  std::vector<std::size_t> row_of(n + 1, 0);
  std::vector<std::size_t> previous(n + 1, 0);
  std::vector<double> slack(n + 1);
  std::vector<char> done(n + 1);
  for (std::size_t row = 1; row <= n; ++row) {
    row_of[0] = row;
    std::size_t column = 0;
    slack.assign(n + 1, infinity);
    done.assign(n + 1, 0);
    do {
      done[column] = 1;
      const std::size_t here = row_of[column];
      const double* costs = cost.data() + (here - 1) * n;
      double step = infinity;
      std::size_t nearest = 0;
      for (std::size_t c = 1; c <= n; ++c) {
        if (done[c] != 0) {
          continue;
        }
        const double reduced = costs[c - 1] - row_price[here] - column_price[c];
        if (reduced < slack[c]) {
          slack[c] = reduced;
          previous[c] = column;
        }
        if (slack[c] < step) {
          step = slack[c];
          nearest = c;
        }
      }
      for (std::size_t c = 0; c <= n; ++c) {
        if (done[c] != 0) {
          row_price[row_of[c]] += step;
          column_price[c] -= step;
        } else {
          slack[c] -= step;
        }
      }
      column = nearest;
    } while (row_of[column] != 0);
    while (column != 0) {
      const std::size_t before = previous[column];
      row_of[column] = row_of[before];
      column = before;
    }
  }
  std::vector<int> column_of(n);
  for (std::size_t c = 1; c <= n; ++c) {
    column_of[row_of[c] - 1] = static_cast<int>(c - 1);
  }
  return column_of;
}

}  // namespace moesim
