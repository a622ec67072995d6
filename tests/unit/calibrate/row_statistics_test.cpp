#include "calibrate/fit/row_statistics.h"

#include <catch2/catch.hpp>
#include <cmath>

using namespace moesim;

namespace {

// Rows of rooflines from 10 ns to 100 us; each takes what `seconds` makes of its roofline.
template <class Seconds>
double floor_of(Seconds seconds) {
  std::vector<KernelRow> rows(400);
  std::vector<const KernelRow*> list;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i].naive_seconds = 1e-8 * std::pow(1e4, static_cast<double>(i) / 399);
    rows[i].seconds = seconds(rows[i].naive_seconds);
    list.push_back(&rows[i]);
  }
  return host_floor(list);
}

}  // namespace

TEST_CASE("times that no size changes are the host's", "[calibrate][unit]") {
  // Launching takes 60 us, the kernel 5 us and twice its roofline.
  CHECK(floor_of([](double roofline) { return std::max(60e-6, 5e-6 + 2 * roofline); }) ==
        Approx(60e-6));
  // A captured launch of 6 us has a floor too, which belongs to the device.
  CHECK(floor_of([](double roofline) { return std::max(6e-6, 2 * roofline); }) == 0);
  // Several kernels' launches, under which sizes show.
  CHECK(floor_of([](double roofline) { return 25e-6 + 30 * roofline; }) == 0);
  CHECK(host_floor({}) == 0);
}
