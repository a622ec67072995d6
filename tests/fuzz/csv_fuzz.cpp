// A measured table: read or refused, nothing else.
#include <cstddef>
#include <cstdint>
#include <string>

#include "sim/core/csv.h"
#include "sim/core/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    moesim::CsvTable::parse(std::string(reinterpret_cast<const char*>(data), size), "fuzz.csv");
  } catch (const moesim::ConfigError&) {
  }
  return 0;
}
