#include "sim/core/quantile.h"

#include <catch2/catch.hpp>

#include "sim/core/error.h"

namespace moesim {

TEST_CASE("quantiles lie between order statistics", "[core][unit]") {
  const std::vector<double> values{4, 1, 3, 2};
  CHECK(quantile(values, 0.0) == 1.0);
  CHECK(quantile(values, 0.5) == 2.5);
  CHECK(quantile(values, 0.9) == Approx(3.7));
  CHECK(quantile(values, 1.0) == 4.0);
  CHECK(quantile({7}, 0.3) == 7.0);
  CHECK(median(values) == 2.5);
  CHECK(median({3, 1, 2}) == 2.0);
  std::vector<double> reordered = values;
  CHECK(upper_median(reordered) == 3.0);
  CHECK_THROWS_AS(quantile({}, 0.5), InvariantError);
  CHECK_THROWS_AS(median({}), InvariantError);
  CHECK_THROWS_AS(upper_median({}), InvariantError);
}

}  // namespace moesim
