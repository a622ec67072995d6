// An accepted quantity is finite, and printing and parsing it again gives the same bits.
#include <bit>
#include <cmath>

#include "sim/core/quantity_text.h"
#include "tests/fuzz/oracle.h"

namespace {

template <class Q>
void check(std::string_view text) {
  const auto parsed = moesim::parse_quantity<Q>(text);
  if (!parsed) {
    return;
  }
  moesim::fuzz::require(std::isfinite(parsed->si()), "a quantity is finite");
  moesim::fuzz::require(text.size() >= 3 && text.find(' ') != std::string_view::npos,
                        "a quantity has a unit");
  const auto again = moesim::parse_quantity<Q>(moesim::format_quantity(*parsed));
  moesim::fuzz::require(again && std::bit_cast<std::uint64_t>(again->si()) ==
                                     std::bit_cast<std::uint64_t>(parsed->si()),
                        "printing and parsing keeps the bits");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = moesim::fuzz::as_text(data, size);
  check<moesim::Seconds>(text);
  check<moesim::Bytes>(text);
  check<moesim::Flops>(text);
  check<moesim::Bandwidth>(text);
  check<moesim::FlopRate>(text);
  check<moesim::Joules>(text);
  check<moesim::Power>(text);
  check<moesim::Dollars>(text);
  check<moesim::PriceRate>(text);
  return 0;
}
