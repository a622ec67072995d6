// Quantities with a dimension: the type system rejects "bytes + seconds" and
// derives "bytes / bandwidth = seconds". Values are SI: s, B, FLOP, J, USD.
#pragma once

#include <compare>

namespace moesim {

// A double tagged with the exponents of second, byte, FLOP, joule and US dollar.
template <int S, int B, int F, int J = 0, int D = 0>
class Quantity {
 public:
  constexpr Quantity() = default;
  // (Named with care: <signal.h> defines si_value as a macro.)
  constexpr explicit Quantity(double value_in_si) : value_(value_in_si) {}

  // The raw SI number. Only formatting, solvers and random draws need it.
  [[nodiscard]] constexpr double si() const { return value_; }

  friend constexpr Quantity operator+(Quantity a, Quantity b) {
    return Quantity(a.value_ + b.value_);
  }
  friend constexpr Quantity operator-(Quantity a, Quantity b) {
    return Quantity(a.value_ - b.value_);
  }
  friend constexpr Quantity operator*(double k, Quantity a) { return Quantity(k * a.value_); }
  friend constexpr Quantity operator*(Quantity a, double k) { return Quantity(k * a.value_); }
  friend constexpr Quantity operator/(Quantity a, double k) { return Quantity(a.value_ / k); }
  constexpr Quantity& operator+=(Quantity other) {
    value_ += other.value_;
    return *this;
  }
  friend constexpr auto operator<=>(Quantity, Quantity) = default;

 private:
  double value_ = 0.0;
};

template <int S1, int B1, int F1, int J1, int D1, int S2, int B2, int F2, int J2, int D2>
constexpr auto operator/(Quantity<S1, B1, F1, J1, D1> a, Quantity<S2, B2, F2, J2, D2> b) {
  if constexpr (S1 == S2 && B1 == B2 && F1 == F2 && J1 == J2 && D1 == D2) {
    return a.si() / b.si();  // a ratio is a plain number
  } else {
    return Quantity<S1 - S2, B1 - B2, F1 - F2, J1 - J2, D1 - D2>(a.si() / b.si());
  }
}

template <int S1, int B1, int F1, int J1, int D1, int S2, int B2, int F2, int J2, int D2>
constexpr auto operator*(Quantity<S1, B1, F1, J1, D1> a, Quantity<S2, B2, F2, J2, D2> b) {
  return Quantity<S1 + S2, B1 + B2, F1 + F2, J1 + J2, D1 + D2>(a.si() * b.si());
}

using Seconds = Quantity<1, 0, 0>;
using Bytes = Quantity<0, 1, 0>;
using Flops = Quantity<0, 0, 1>;
using Joules = Quantity<0, 0, 0, 1>;
using Dollars = Quantity<0, 0, 0, 0, 1>;
using Bandwidth = decltype(Bytes{} / Seconds{});
using FlopRate = decltype(Flops{} / Seconds{});
using Power = decltype(Joules{} / Seconds{});
using PriceRate = decltype(Dollars{} / Seconds{});

static_assert(Bytes(1e6) / Bandwidth(1e9) == Seconds(1e-3));

}  // namespace moesim
