// {"hardware", "algorithm", "devices", "bytes", ...}: steps, bytes and time of a communication
// algorithm; {"algorithm", "leaves", "spines", "flows"}: loads of a leaf-spine fabric's links.
#include <nlohmann/json.hpp>

#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/engine/exchange/algorithms/communication.h"
#include "sim/engine/exchange/algorithms/flow_splitting.h"
#include "sim/reproduce/run_kinds.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

Json step_json(const CommStep& step, const CommFabric& fabric) {
  return {{"name", step.name},          {"crosses", name_of(step.crossing)},
          {"messages", step.messages},  {"message_bytes", step.message.si()},
          {"bytes", step.bytes().si()}, {"time_s", time_of(step, fabric).si()}};
}

CommTask parse_task(ConfigObject& root) {
  constexpr std::int64_t most = 1'000'000;
  CommTask task{.devices = root.integer("devices", 1, most),
                .bytes = root.positive<Bytes>("bytes"),
                .tensor = root.integer_or("tensor", 1, 1, most),
                .experts = root.integer_or("experts", 1, 1, most),
                .chosen = root.integer_or("chosen", 1, 0, most)};
  if (root.has("parts")) {
    constexpr double largest = 1e15;
    task.parts = root.numbers("parts", 0, largest);
  }
  return task;
}

}  // namespace

RunReport run_communication(const ScenarioDocument& document, const std::string& name,
                            const Library& library) {
  ConfigObject root(document.json, name + "#");
  const Json* hardware = root.raw("hardware");
  if (hardware == nullptr) {
    root.fail("hardware", "is missing; a catalogued cluster, a file or an inline object is needed");
  }
  const auto loaded = library.cluster(*hardware, root.where("hardware"));
  const CommFabric fabric =
      comm_fabric(loaded->cluster, root.non_negative<Seconds>("message_overhead", Seconds{}),
                  root.non_negative<Seconds>("copy_overhead", Seconds{}));
  const CommAlgorithm& algorithm = comm_algorithm(root.text("algorithm"), root.where("algorithm"));
  const CommTask task = parse_task(root);
  root.reject_unknown_keys();
  if (task.devices > loaded->cluster.devices()) {
    root.fail("devices",
              "are more than the cluster's " + std::to_string(loaded->cluster.devices()));
  }
  CommPlan plan;
  try {
    plan = algorithm.plan(task, fabric);
  } catch (const ConfigError& error) {
    throw ConfigError(root.where("algorithm"), error.what());
  }
  Json steps = Json::array();
  for (const CommStep& step : plan.steps) {
    steps.push_back(step_json(step, fabric));
  }
  Json bytes = Json::object();
  for (const Crossing crossing : {Crossing::memory, Crossing::node, Crossing::network}) {
    bytes[std::string(name_of(crossing))] = plan.bytes(crossing).si();
  }
  return {std::make_shared<const Json>(Json{{"algorithm", algorithm.name},
                                            {"messages", plan.messages()},
                                            {"bytes", std::move(bytes)},
                                            {"time_s", time_of(plan, fabric).si()},
                                            {"steps", std::move(steps)}}),
          loaded->warnings};
}

RunReport run_flows(const ScenarioDocument& document, const std::string& name,
                    const Library& /*library*/) {
  ConfigObject root(document.json, name + "#");
  std::vector<std::string_view> known;
  for (const FlowSplitting& splitting : flow_splittings()) {
    known.push_back(splitting.name);
  }
  const FlowSplitting* splitting = find_flow_splitting(root.choice("algorithm", known));
  ensure(splitting != nullptr, "a chosen splitting is in the table");
  constexpr std::int64_t most_leaves = 1000;
  constexpr std::int64_t most_flows = 100'000;
  const LeafSpineTask task{.leaves = root.integer("leaves", 2, most_leaves),
                           .spines = root.integer("spines", 1, most_leaves),
                           .flows = root.integer("flows", 1, most_flows),
                           .seed = static_cast<std::uint64_t>(root.integer_or("seed", 1, 1))};
  root.reject_unknown_keys();
  const LinkLoads loads = splitting->loads(task);
  return {std::make_shared<const Json>(Json{{"algorithm", splitting->name},
                                            {"max_link_load", loads.most},
                                            {"spray_link_load", loads.ideal},
                                            {"subflows", loads.subflows}}),
          document.warnings};
}

}  // namespace moesim
