#include "sim/core/units.h"

#include <catch2/catch.hpp>
#include <type_traits>

using namespace moesim;

namespace {

// What the type system must refuse.
template <class A, class B>
concept addable = requires(A a, B b) { a + b; };
template <class A, class B>
concept comparable = requires(A a, B b) { a < b; };

static_assert(addable<Bytes, Bytes> && !addable<Bytes, Seconds>);
static_assert(comparable<Flops, Flops> && !comparable<Flops, Bytes>);
static_assert(!addable<Bytes, double> && !std::is_convertible_v<double, Bytes>);
static_assert(std::is_same_v<decltype(Flops{} / FlopRate{}), Seconds>);
static_assert(std::is_same_v<decltype(Bandwidth{} * Seconds{}), Bytes>);
static_assert(std::is_same_v<decltype(Power{} * Seconds{}), Joules>);
static_assert(std::is_same_v<decltype(PriceRate{} * Seconds{}), Dollars>);
static_assert(std::is_same_v<decltype(Bytes{} / Bytes{}), double>);

}  // namespace

TEST_CASE("quantities compute with their SI values", "[core][unit]") {
  CHECK((Bytes(3) + Bytes(4)).si() == 7);
  CHECK((Bytes(3) - Bytes(4)).si() == -1);
  CHECK((2.0 * Seconds(3)).si() == 6);
  CHECK((Seconds(3) * 2.0).si() == 6);
  CHECK((Seconds(3) / 2.0).si() == 1.5);
  CHECK(Seconds(6) / Seconds(3) == 2.0);
  Bytes sum(1);
  sum += Bytes(2);
  CHECK(sum == Bytes(3));
  CHECK(Bytes(1) < Bytes(2));
  CHECK(Bytes{}.si() == 0);
  // 1 GB over 50 GB/s takes 20 ms; 700 W over 2 s are 1,400 J.
  CHECK(Bytes(1e9) / Bandwidth(50e9) == Seconds(0.02));
  CHECK(Power(700) * Seconds(2) == Joules(1400));
}
