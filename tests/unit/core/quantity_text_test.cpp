#include "sim/core/quantity_text.h"

#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "sim/core/rng.h"

using namespace moesim;

namespace {

template <class Q>
double si_of(std::string_view text) {
  const auto parsed = parse_quantity<Q>(text);
  return parsed ? parsed->si() : std::numeric_limits<double>::quiet_NaN();
}

// Bit patterns of every exponent, sign and length; infinities and NaNs are left out.
double random_finite(Rng& rng) {
  for (;;) {
    const auto value = std::bit_cast<double>(rng.bits());
    if (std::isfinite(value)) {
      return value;
    }
  }
}

template <class Q>
void check_round_trip(Rng& rng, int& subnormal) {
  const double value = random_finite(rng) * (rng.below(8) == 0 ? 0x1p-1000 : 1.0);
  const std::string text = format_quantity(Q(value));
  CAPTURE(text);
  const auto back = parse_quantity<Q>(text);
  REQUIRE(back);
  // Equal as bits, so that -0 stays -0.
  CHECK(std::bit_cast<std::uint64_t>(back->si()) == std::bit_cast<std::uint64_t>(value));
  subnormal += std::fpclassify(value) == FP_SUBNORMAL ? 1 : 0;
}

struct PrefixCase {
  std::string text;
  double si;
};

template <class Q>
void check_prefixes(const std::vector<PrefixCase>& units) {
  Rng rng(7);
  for (const auto& [unit, scale] : units) {
    for (int draw = 0; draw < 20; ++draw) {
      const double number = std::ldexp(rng.uniform() + 1e-3, static_cast<int>(rng.below(60)) - 30);
      const std::string text = format_number(number) + " " + unit;
      CAPTURE(text);
      CHECK(si_of<Q>(text) == number * scale);
    }
  }
}

}  // namespace

TEST_CASE("units and prefixes have their SI values", "[core][unit]") {
  check_prefixes<Seconds>({{"s", 1}, {"ms", 1e-3}, {"us", 1e-6}, {"ns", 1e-9}, {"ps", 1e-12}});
  check_prefixes<Bytes>({{"B", 1},
                         {"kB", 1e3},
                         {"MB", 1e6},
                         {"GB", 1e9},
                         {"TB", 1e12},
                         {"PB", 1e15},
                         {"KiB", 1024},
                         {"MiB", 1048576},
                         {"GiB", 1073741824},
                         {"TiB", 1099511627776},
                         {"bit", 0.125},
                         {"Gbit", 1.25e8}});
  check_prefixes<Bandwidth>({{"B/s", 1}, {"GB/s", 1e9}, {"Gbit/s", 1.25e8}, {"GiB/s", 0x1p30}});
  check_prefixes<Flops>({{"FLOP", 1}, {"GFLOP", 1e9}, {"PFLOP", 1e15}});
  check_prefixes<FlopRate>({{"FLOP/s", 1}, {"TFLOP/s", 1e12}, {"TOP/s", 1e12}});
  check_prefixes<Joules>({{"J", 1}, {"mJ", 1e-3}, {"kJ", 1e3}, {"MJ", 1e6}});
  check_prefixes<Power>({{"W", 1}, {"mW", 1e-3}, {"kW", 1e3}, {"MW", 1e6}});
  check_prefixes<Dollars>({{"USD", 1}});
  check_prefixes<PriceRate>({{"USD/s", 1}, {"USD/h", 1.0 / 3600}});
}

TEST_CASE("quantities of the catalog's kind are exact", "[core][unit]") {
  CHECK(si_of<Bandwidth>("400 Gbit/s") == 50e9);
  CHECK(si_of<Bandwidth>("3.35 TB/s") == 3.35e12);
  CHECK(si_of<Bytes>("80 GiB") == 85899345920.0);
  CHECK(si_of<Seconds>("5 us") == 5 * 1e-6);
  CHECK(si_of<Bytes>("0 B") == 0);
  CHECK(si_of<Bytes>("-2 GB") == -2e9);  // the sign is the reader's affair
  CHECK(si_of<Bytes>("1e3 B") == 1000);
  CHECK(si_of<Bytes>("1.5e+2 kB") == 150000);
}

TEST_CASE("text that is no quantity is refused", "[core][unit]") {
  const auto* const text = GENERATE(
      "", " ", "B", " B", "1", "1B", "1GB", "1 ", "1  GB", " 1 GB", "1 GB ", "1 GB\n", "1\tGB",
      "+1 GB", "1,5 GB", "1.5.2 GB", "0x10 B", "1e B", "1e400 B", "-1e400 B", "1e-400 B", "nan B",
      "NaN B", "inf B", "-inf B", "infinity B", "nan(1) B", "1e308 PB", "1e308 kB", "1 KB", "1 gB",
      "1 Gb", "1 b", "1 mB", "1 GB/s", "1 s", "1 EB", "1 PiB", "1 GiGiB", "1 G", "one B", "1 B B");
  CAPTURE(text);
  CHECK_FALSE(parse_quantity<Bytes>(text));
}

TEST_CASE("a value that is finite as text but not in SI is refused", "[core][unit]") {
  CHECK_FALSE(parse_quantity<Bandwidth>("1e308 PB/s"));
  CHECK_FALSE(parse_quantity<Bandwidth>("-1e308 PB/s"));
  CHECK(parse_quantity<Bandwidth>("1e308 B/s"));
  // The largest double is 1.797...e308, that is 1.797...e293 PB.
  CHECK(parse_quantity<Bytes>("1.7e293 PB"));
  CHECK_FALSE(parse_quantity<Bytes>("1.8e293 PB"));
}

TEST_CASE("a unit of another dimension is refused", "[core][unit]") {
  CHECK_FALSE(parse_quantity<Bandwidth>("400 GB"));
  CHECK_FALSE(parse_quantity<Bandwidth>("400"));
  CHECK_FALSE(parse_quantity<Seconds>("1 B"));
  CHECK_FALSE(parse_quantity<Seconds>("1 ks"));
  CHECK_FALSE(parse_quantity<Flops>("1 TFLOP/s"));
  CHECK_FALSE(parse_quantity<FlopRate>("1 TFLOP"));
  CHECK_FALSE(parse_quantity<FlopRate>("1 TFLOPS"));
  CHECK_FALSE(parse_quantity<Power>("1 J"));
  CHECK_FALSE(parse_quantity<Dollars>("1 kUSD"));
  CHECK_FALSE(parse_quantity<PriceRate>("1 USD"));
}

TEST_CASE("printing and parsing a quantity gives the same bits", "[core][property]") {
  Rng rng(GENERATE(range(std::uint64_t{0}, std::uint64_t{20})));
  int subnormal = 0;
  for (int draw = 0; draw < 100; ++draw) {
    check_round_trip<Seconds>(rng, subnormal);
    check_round_trip<Bytes>(rng, subnormal);
    check_round_trip<Flops>(rng, subnormal);
    check_round_trip<Bandwidth>(rng, subnormal);
    check_round_trip<FlopRate>(rng, subnormal);
    check_round_trip<Joules>(rng, subnormal);
    check_round_trip<Power>(rng, subnormal);
    check_round_trip<Dollars>(rng, subnormal);
    check_round_trip<PriceRate>(rng, subnormal);
  }
  CHECK(subnormal > 0);  // the hard shapes were drawn
}

TEST_CASE("each dimension's example is an example", "[core][unit]") {
  CHECK(parse_quantity<Seconds>(quantity_example<Seconds>()));
  CHECK(parse_quantity<Bytes>(quantity_example<Bytes>()));
  CHECK(parse_quantity<Flops>(quantity_example<Flops>()));
  CHECK(parse_quantity<Bandwidth>(quantity_example<Bandwidth>()));
  CHECK(parse_quantity<FlopRate>(quantity_example<FlopRate>()));
  CHECK(parse_quantity<Joules>(quantity_example<Joules>()));
  CHECK(parse_quantity<Power>(quantity_example<Power>()));
  CHECK(parse_quantity<Dollars>(quantity_example<Dollars>()));
  CHECK(parse_quantity<PriceRate>(quantity_example<PriceRate>()));
}

TEST_CASE("numbers print in their shortest form", "[core][unit]") {
  CHECK(format_number(0.1) == "0.1");
  CHECK(format_number(5e10) == "5e+10");
  CHECK(format_number(-0.0) == "-0");
  CHECK(format_number(1.0 / 3) == "0.3333333333333333");
  CHECK(format_quantity(Bandwidth(5e10)) == "5e+10 B/s");
}
