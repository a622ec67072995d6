// A placement file of any format: refused with a ConfigError, or whole: what was read survives
// being written as moesim's own format and read again.
#include <cstddef>
#include <cstdint>

#include "placement/formats/formats.h"
#include "sim/core/error.h"
#include "tests/fuzz/oracle.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moesim;
  PlacementFile file;
  try {
    file = read_placement_text(fuzz::as_text(data, size), "fuzz", {.devices = 2, .layers = {}});
  } catch (const ConfigError&) {
    return 0;
  }
  const PlacementFormatEntry& own = find_placement_format("moesim", "fuzz");
  const PlacementFile again = read_placement_text(
      own.write(file.placement, {.devices = 0, .layers = file.layers}), "again", {});
  fuzz::require(again.placement.slot_expert == file.placement.slot_expert &&
                    again.placement.first_slot == file.placement.first_slot &&
                    again.placement.experts == file.placement.experts,
                "a placement that was read can be written and read again");
  fuzz::require(again.layers == file.layers, "so do the numbers of its layers");
  return 0;
}
