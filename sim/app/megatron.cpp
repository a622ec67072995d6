#include "sim/app/megatron.h"

#include <nlohmann/json.hpp>

#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/training/megatron_arguments.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

// Of the hardware that overrides say; 0: they do not say how many.
std::int64_t devices_of(const Json& hardware) {
  const auto count = [&hardware](const char* key, std::int64_t absent) -> std::int64_t {
    const auto found = hardware.find(key);
    return found != hardware.end() && found->is_number_integer() ? found->get<std::int64_t>()
                                                                 : absent;
  };
  return hardware.is_object() ? count("devices", 0) * count("nodes", 1) : 0;
}

}  // namespace

ScenarioDocument megatron_document(const std::string& path,
                                   std::span<const std::string> overrides) {
  MegatronArguments arguments = parse_megatron_arguments(read_text_file(path), path);
  ScenarioDocument said = scenario_document(Json::object(), path, overrides);
  if (!said.json.contains("hardware")) {
    throw ConfigError(path,
                      "Megatron's arguments do not say the hardware; add --set "
                      "/hardware/cluster=NAME --set /hardware/devices=8 --set /hardware/nodes=N");
  }
  if (const std::int64_t devices = devices_of(said.json["hardware"]);
      devices > 0 && !arguments.contains("world-size")) {
    arguments["world-size"] = std::to_string(devices);
  }
  ScenarioDocument document =
      scenario_document(megatron_scenario(arguments, path), path, overrides);
  std::string ignored;
  for (const std::string& name : read_megatron_run(arguments, path).ignored) {
    ignored.append(ignored.empty() ? "" : ", ").append("--").append(name);
  }
  if (!ignored.empty()) {
    document.warnings.push_back(path + ": ignored, since nothing here depends on them: " + ignored);
  }
  return document;
}

}  // namespace moesim
