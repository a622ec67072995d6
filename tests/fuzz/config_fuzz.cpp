// A document, and after a line "--set" an override. Reading either works or throws ConfigError, and
// what was read prints as JSON that reads as the same.
#include <array>
#include <nlohmann/json.hpp>
#include <string>

#include "sim/core/config.h"
#include "sim/core/error.h"
#include "tests/fuzz/oracle.h"

namespace {

using Json = nlohmann::json;
using moesim::ConfigObject;
using moesim::fuzz::require;

constexpr std::array<std::string_view, 2> policies{"contiguous", "round_robin"};

// A grammar that uses every reader.
Json read(const Json& json) {
  Json effective;
  ConfigObject object(json, "fuzz.json#", &effective);
  require(object.positive("bandwidth", moesim::Bandwidth(1)).si() > 0, "positive is positive");
  require(object.non_negative("latency", moesim::Seconds(0)).si() >= 0, "no negative latency");
  const auto count = object.integer_or("count", 3, 1, 100);
  require(count >= 1 && count <= 100, "integers keep their range");
  const auto share = object.number_or("share", 0.5, 0, 1);
  require(share >= 0 && share <= 1, "numbers keep their range");
  object.boolean_or("on", true);
  object.text_or("name", "x");
  object.choice_or("policy", "contiguous", policies);
  object.dtype_or("format", moesim::DType::bf16);
  if (object.has("rates")) {
    object.numbers("rates", -1e300, 1e300);
  }
  if (object.has("ids")) {
    object.integers("ids", -5, 5);
  }
  if (object.has("names")) {
    object.texts("names");
  }
  if (auto inner = object.object_if("inner")) {
    inner->integer("depth", 0);
    inner->reject_unknown_keys();
  }
  for (ConfigObject& element : object.objects("list")) {
    element.non_negative("size", moesim::Bytes(1));
    element.reject_unknown_keys();
  }
  object.raw("any");
  object.reject_unknown_keys();
  return effective;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input = moesim::fuzz::as_text(data, size);
  const std::string_view separator = "\n--set\n";
  const auto at = input.find(separator);
  try {
    Json json = moesim::parse_json(input.substr(0, at), "fuzz.json");
    require(moesim::parse_json(json.dump(), "fuzz.json") == json, "documents print as themselves");
    if (at != std::string_view::npos) {
      moesim::apply_override(json, input.substr(at + separator.size()));
      require(moesim::parse_json(json.dump(), "fuzz.json") == json, "overrides keep it printable");
    }
    const Json effective = read(json);
    require(read(effective) == effective, "the effective document reads as itself");
  } catch (const moesim::ConfigError& error) {
    require(std::string_view(error.what()).size() > 10, "an error says something");
  }
  return 0;
}
