// Profiles of kernels and of communication: whatever is accepted writes and reads back the same.
#include <nlohmann/json.hpp>
#include <string>

#include "models/comm/comm_profile.h"
#include "models/kernels/kernel_profile.h"
#include "sim/core/config.h"
#include "sim/core/error.h"
#include "tests/fuzz/oracle.h"

namespace {

using Json = nlohmann::json;

void kernels(const Json& document) {
  const moesim::KernelProfile profile = moesim::parse_kernel_profile(document, "fuzz.json#");
  const std::string text = moesim::kernel_profile_text(profile);
  const std::string again = moesim::kernel_profile_text(
      moesim::parse_kernel_profile(moesim::parse_json(text, "again.json"), "again.json#"));
  moesim::fuzz::require(text == again, "a kernel profile reads back as it was written");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Json document;
  try {
    document = moesim::parse_json(moesim::fuzz::as_text(data, size), "fuzz.json");
    kernels(document);
  } catch (const moesim::ConfigError&) {
  }
  if (!document.is_object()) {
    return 0;
  }
  try {
    moesim::parse_comm_profile(moesim::ConfigObject(document, "fuzz.json#"), "fuzz");
  } catch (const moesim::ConfigError&) {
  }
  return 0;
}
