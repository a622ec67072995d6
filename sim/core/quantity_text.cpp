#include "sim/core/quantity_text.h"

#include <array>
#include <charconv>
#include <cmath>
#include <span>

namespace moesim {
namespace {

struct Unit {
  std::string_view name;
  double si;
};

constexpr std::array metric_prefixes{
    Unit{"", 1.0},   Unit{"k", 1e3},     Unit{"M", 1e6},     Unit{"G", 1e9},     Unit{"T", 1e12},
    Unit{"P", 1e15}, Unit{"Ki", 0x1p10}, Unit{"Mi", 0x1p20}, Unit{"Gi", 0x1p30}, Unit{"Ti", 0x1p40},
};
constexpr std::array small_prefixes{Unit{"", 1.0}, Unit{"m", 1e-3}, Unit{"u", 1e-6},
                                    Unit{"n", 1e-9}, Unit{"p", 1e-12}};
constexpr std::array no_prefix{Unit{"", 1.0}};
constexpr std::array kilo_mega{Unit{"", 1.0}, Unit{"m", 1e-3}, Unit{"k", 1e3}, Unit{"M", 1e6}};

constexpr std::array second_units{Unit{"s", 1.0}};
constexpr std::array byte_units{Unit{"B", 1.0}, Unit{"bit", 1.0 / 8}};
constexpr std::array flop_units{Unit{"FLOP", 1.0}};
constexpr std::array bandwidth_units{Unit{"B/s", 1.0}, Unit{"bit/s", 1.0 / 8}};
constexpr std::array flop_rate_units{Unit{"FLOP/s", 1.0}, Unit{"OP/s", 1.0}};
constexpr std::array joule_units{Unit{"J", 1.0}};
constexpr std::array power_units{Unit{"W", 1.0}};
constexpr std::array dollar_units{Unit{"USD", 1.0}};
constexpr std::array price_units{Unit{"USD/h", 1.0 / 3600}, Unit{"USD/s", 1.0}};

struct Grammar {
  std::span<const Unit> units;
  std::span<const Unit> prefixes;
  std::string_view si_unit;
  std::string_view example;
};

template <class Q>
Grammar grammar();
template <>
Grammar grammar<Seconds>() {
  return {second_units, small_prefixes, "s", "5 us"};
}
template <>
Grammar grammar<Bytes>() {
  return {byte_units, metric_prefixes, "B", "80 GiB"};
}
template <>
Grammar grammar<Flops>() {
  return {flop_units, metric_prefixes, "FLOP", "2 GFLOP"};
}
template <>
Grammar grammar<Bandwidth>() {
  return {bandwidth_units, metric_prefixes, "B/s", "400 Gbit/s"};
}
template <>
Grammar grammar<FlopRate>() {
  return {flop_rate_units, metric_prefixes, "FLOP/s", "989 TFLOP/s"};
}
template <>
Grammar grammar<Joules>() {
  return {joule_units, kilo_mega, "J", "3 kJ"};
}
template <>
Grammar grammar<Power>() {
  return {power_units, kilo_mega, "W", "700 W"};
}
template <>
Grammar grammar<Dollars>() {
  return {dollar_units, no_prefix, "USD", "12 USD"};
}
template <>
Grammar grammar<PriceRate>() {
  return {price_units, no_prefix, "USD/s", "2.5 USD/h"};
}

std::optional<double> unit_scale(std::string_view text, const Grammar& rules) {
  for (const Unit& unit : rules.units) {
    if (!text.ends_with(unit.name)) {
      continue;
    }
    const std::string_view prefix = text.substr(0, text.size() - unit.name.size());
    for (const Unit& p : rules.prefixes) {
      if (prefix == p.name) {
        return p.si * unit.si;
      }
    }
  }
  return std::nullopt;
}

}  // namespace

std::string format_number(double value) {
  std::array<char, 40> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  return {buffer.data(), end};
}

template <class Q>
std::optional<Q> parse_quantity(std::string_view text) {
  double number = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) {
    return std::nullopt;
  }
  const std::string_view rest = text.substr(static_cast<std::size_t>(end - text.data()));
  if (!rest.starts_with(' ')) {
    return std::nullopt;
  }
  const auto scale = unit_scale(rest.substr(1), grammar<Q>());
  if (!scale) {
    return std::nullopt;
  }
  const double si = number * *scale;
  if (!std::isfinite(si)) {  // after scaling: "1e308 PB/s" is finite text but no finite bandwidth
    return std::nullopt;
  }
  return Q(si);
}

template <class Q>
std::string format_quantity(Q value) {
  return format_number(value.si()) + " " + std::string(grammar<Q>().si_unit);
}

template <class Q>
std::string_view quantity_example() {
  return grammar<Q>().example;
}

#define MOESIM_QUANTITY(Q)                                       \
  template std::optional<Q> parse_quantity<Q>(std::string_view); \
  template std::string format_quantity<Q>(Q);                    \
  template std::string_view quantity_example<Q>();
MOESIM_QUANTITY(Seconds)
MOESIM_QUANTITY(Bytes)
MOESIM_QUANTITY(Flops)
MOESIM_QUANTITY(Bandwidth)
MOESIM_QUANTITY(FlopRate)
MOESIM_QUANTITY(Joules)
MOESIM_QUANTITY(Power)
MOESIM_QUANTITY(Dollars)
MOESIM_QUANTITY(PriceRate)
#undef MOESIM_QUANTITY

}  // namespace moesim
