#include <unistd.h>

#include <filesystem>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "placement/formats/formats.h"
#include "placement/published/eplb.h"
#include "random_placement.h"
#include "sim/core/config.h"
#include "sim/core/error.h"

using namespace moesim;
using test::PlacementShape;
using test::random_placement;
using test::same;

namespace {

const PlacementFormatEntry& format(std::string_view name) {
  return find_placement_format(name, "test");
}

// Two layers, two GPUs with two slots, three experts: expert 0 has two replicas in layer 0.
ExpertPlacement small() { return {3, 2, {0, 2, 4}, {{0, 1, 2, 0}, {2, 1, 0, 1}}}; }

std::string failure_of(const std::string& text, const std::string& name,
                       const FormatOptions& options) {
  try {
    (void)read_placement_text(text, name, options);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "(accepted)";
}

std::string refusal_of(std::string_view name, const ExpertPlacement& placement) {
  try {
    (void)format(name).write(placement, {});
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "(written)";
}

bool is_json(std::string_view text) { return text.starts_with("{"); }

}  // namespace

TEST_CASE("what a format writes reads back as it was", "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{40}));
  for (const PlacementFormatEntry& entry : placement_formats()) {
    if (entry.write == nullptr) {
      continue;
    }
    CAPTURE(entry.name, seed);
    Rng rng(seed);
    PlacementShape shape;
    shape.equal_slots = entry.name != "moesim" && entry.name != "vllm-ascend";
    shape.full = entry.name != "moesim";
    shape.distinct = entry.name == "vllm-ascend";
    const ExpertPlacement placement = random_placement(rng, shape);
    const std::string text = entry.write(placement, {});
    const PlacementFile file = read_placement_text(text, is_json(text) ? "p.json" : "p.yaml",
                                                   {.devices = placement.devices, .layers = {}});
    CHECK(file.format == entry.name);
    CHECK(same(file.placement, placement));
    CHECK(entry.write(file.placement, {}) == text);
  }
}

TEST_CASE("the model's layer numbers survive", "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{10}));
  Rng rng(seed);
  const ExpertPlacement placement = random_placement(rng, {});
  const int count = static_cast<int>(placement.slot_expert.size());
  const FormatOptions options{placement.devices, 0, consecutive_layers(3, count)};
  for (const std::string_view name : {"moesim", "sglang", "trtllm"}) {
    CAPTURE(name, seed);
    const std::string text = format(name).write(placement, options);
    const FormatOptions reading{placement.devices, 0,
                                name == "sglang" ? options.layers : std::vector<int>{}};
    const PlacementFile file = read_placement_text(text, "p", reading);
    CHECK(same(file.placement, placement));
    CHECK(file.layers == options.layers);
    const FormatOptions offset{placement.devices, 3, {}};
    CHECK(format(name).write(placement, offset) == text);
    CHECK(same(read_placement_text(text, "p", offset).placement, placement));
  }
}

TEST_CASE("each format is the engine's own", "[placement][golden]") {
  // Written by hand after the engines' sources, which each format's file names.
  CHECK(format("moesim").write(small(), {}) == R"({
  "schema": "moesim-placement/1",
  "experts": 3,
  "devices": 2,
  "first_slot": [0, 2, 4],
  "slot_expert": [
    [0, 1, 2, 0],
    [2, 1, 0, 1]
  ]
}
)");
  // SGLang counts dense layers, and the file has one key.
  CHECK(format("sglang").write(small(), {.devices = 0, .layers = {1, 2}}) == R"({
  "physical_to_logical_map": [
    [0, 1, 2, 0],
    [0, 1, 2, 0],
    [2, 1, 0, 1]
  ]
}
)");
  CHECK(format("trtllm").write(small(), {.devices = 0, .layers = {3, 4}}) ==
        R"(initial_global_assignments:
  3: [0, 1, 2, 0]
  4: [2, 1, 0, 1]
num_slots: 4
layer_updates_per_iter: 0
)");
  CHECK(format("vllm-ascend").write(small(), {}) == R"({
  "moe_layer_count": 2,
  "layer_list": [
    {"layer_id": 0, "device_count": 2, "device_list": [
      {"device_id": 0, "device_expert": [0, 1]},
      {"device_id": 1, "device_expert": [2, 0]}
    ]},
    {"layer_id": 1, "device_count": 2, "device_list": [
      {"device_id": 0, "device_expert": [2, 1]},
      {"device_id": 1, "device_expert": [0, 1]}
    ]}
  ]
}
)");
  CHECK(parse_json(format("eplb").write(small(), {}), "eplb") == parse_json(R"({
    "phy2log": [[0, 1, 2, 0], [2, 1, 0, 1]],
    "log2phy": [[[0, 3], [1, -1], [2, -1]], [[2, -1], [1, 3], [0, -1]]],
    "logcnt": [[2, 1, 1], [1, 2, 1]]})",
                                                                            "hand"));
}

TEST_CASE("EPLB's arrays are what EPLB returns", "[placement][unit]") {
  const EplbResult result = rebalance_experts({{90, 132, 40, 61}, {20, 107, 104, 64}}, 8, 2, 2, 4);
  const auto json = parse_json(format("eplb").write(placement_of(result, 4), {}), "eplb");
  CHECK(json["phy2log"] == result.phy2log);
  CHECK(json["logcnt"] == result.logcnt);
}

TEST_CASE("what TensorRT-LLM's users write is read", "[placement][unit]") {
  // Keys out of order and layers that leave gaps, as models with a MoE layer every second have.
  const PlacementFile file = read_placement_text(
      "# comment\nnum_slots: 4\ninitial_global_assignments:\n  5: [2, 1, 0, 1]\n  3:\n  - 0\n  - "
      "1\n"
      "  - 2\n  - 0\nlayer_updates_per_iter: 2\n",
      "lb.yaml", {.devices = 2, .layers = {}});
  CHECK(same(file.placement, small()));
  CHECK(file.layers == std::vector<int>{3, 5});
}

TEST_CASE("results of moesim place are read", "[placement][unit]") {
  const std::string slots =
      R"("slots": {"first_slot": [0, 2, 4], "slot_expert": [[0, 1, 2, 0], [2, 1, 0, 1]]})";
  CHECK(same(
      read_placement_text(R"({"method": "x", "placement": [[0, 0, 1], [1, 0, 0]], )" + slots + "}",
                          "r.json", {})
          .placement,
      small()));
  // Without slots: as many per GPU as its fullest layer needs.
  const auto file = read_placement_text(
      R"({"placement": [[0, 0, 1], [1, 1, 0]], "replicas": null})", "r.json", {});
  CHECK(same(file.placement, {3, 2, {0, 2, 4}, {{0, 1, 2, -1}, {2, -1, 0, 1}}}));
  CHECK(failure_of(R"({"placement": [[0, 0]], "replicas": [[2, 1]]})", "r.json", {})
            .find("r.json#/slots") != std::string::npos);
}

TEST_CASE("what a format cannot express is refused", "[placement][unit]") {
  const ExpertPlacement uneven{3, 2, {0, 1, 3}, {{0, 1, 2}}};
  const ExpertPlacement holes{3, 2, {0, 2, 4}, {{0, 1, 2, -1}}};
  const ExpertPlacement twins{2, 2, {0, 2, 4}, {{0, 0, 1, 0}}};
  for (const std::string_view name : {"sglang", "trtllm", "eplb"}) {
    CAPTURE(name);
    CHECK(refusal_of(name, uneven).find("GPU 0 has 1 and GPU 1 has 2") != std::string::npos);
    CHECK(refusal_of(name, holes).find("GPU 1 has one in layer 0") != std::string::npos);
    CHECK(refusal_of(name, twins) == "(written)");
  }
  CHECK(refusal_of("vllm-ascend", uneven) == "(written)");
  CHECK(refusal_of("vllm-ascend", holes).find("no empty slots") != std::string::npos);
  CHECK(refusal_of("vllm-ascend", twins).find("expert 0 of layer 0 twice") != std::string::npos);
  for (const auto* placement : {&uneven, &holes, &twins}) {
    CHECK(refusal_of("moesim", *placement) == "(written)");
  }
  CHECK_THROWS_AS(find_placement_format("place-result", "--export"), ConfigError);
}

TEST_CASE("bad placement files say what is wrong, where, and what is right", "[placement][unit]") {
  struct Bad {
    std::string text;
    std::string says;
    std::string name = "f.json";
  };
  const std::vector<Bad> table{
      {"", "f.json: is neither JSON nor"},
      {"{}", "f.json: is no placement: expected"},
      {"[1, 2]", "is no placement"},
      {"{", "f.json:1:"},
      {R"({"schema": "moesim-placement/2"})", "#/schema: "},
      {R"({"schema": "moesim-placement/2", "slot_expert": [[0]]})",
       "f.json#/schema: \"moesim-placement/2\""},
      {R"({"schema": "moesim-placement/1", "experts": 1, "devices": 1, "first_slot": [0, 2], "slot_expert": [[0]]})",
       "f.json#/slot_expert: 1 slots per layer, but first_slot ends at 2"},
      {R"({"schema": "moesim-placement/1", "experts": 1, "devices": 1, "first_slot": [1, 2], "slot_expert": [[0, 0]]})",
       "f.json#/first_slot/0"},
      {R"({"schema": "moesim-placement/1", "experts": 2, "devices": 1, "first_slot": [0, 2], "slot_expert": [[0, 0]]})",
       "f.json#/slot_expert/0: expert 1 of 2 has no slot"},
      {R"({"schema": "moesim-placement/1", "experts": 1, "devices": 1, "first_slot": [0, 1], "slot_expert": [[1]]})",
       "f.json#/slot_expert/0/0: expert 1 does not exist"},
      {R"({"schema": "moesim-placement/1", "experts": 1, "devices": 1, "first_slot": [0, 1], "slot_expert": [[0]], "x": 1})",
       "f.json#/x"},
      {R"({"physical_to_logical_map": [[0, 1, 2]]})",
       "#/physical_to_logical_map: 3 slots are not shared equally by 2"},
      {R"({"physical_to_logical_map": [[0, 1], [0]]})",
       "#/physical_to_logical_map/1: 1 entries, but layer 0 has 2"},
      {R"({"physical_to_logical_map": [[0, -1]]})",
       "#/physical_to_logical_map/0/1: -1 lies outside 0"},
      {R"({"physical_to_logical_map": [[0, 1.5]]})",
       "#/physical_to_logical_map/0/1: not a whole number"},
      {R"({"physical_to_logical_map": [[0, 99999999999999999999]]})",
       "#/physical_to_logical_map/0/1"},
      {R"({"physical_to_logical_map": [[0, 2]]})",
       "#/physical_to_logical_map/0: expert 1 of 3 has no slot"},
      {R"({"physical_to_logical_map": {}})", "#/physical_to_logical_map: not an array"},
      {R"({"physical_to_logical_map": []})", "#/physical_to_logical_map: no layers"},
      {R"({"physical_to_logical_map": [[]]})", "#/physical_to_logical_map: no expert"},
      {R"({"logical_count": [[1, 2]]})", "#/logical_count: says how often"},
      {R"({"layer_list": []})", "#/moe_layer_count: missing"},
      {R"({"moe_layer_count": 2, "layer_list": [{}]})", "#/moe_layer_count: 2, but"},
      {R"({"moe_layer_count": 1, "layer_list": [{"layer_id": 3, "device_list": []}]})",
       "#/layer_list/0/layer_id: 3, but"},
      {R"({"moe_layer_count": 1, "layer_list": [{"layer_id": 0, "device_count": 1, "device_list": [{"device_id": 0, "device_expert": [1]}]}]})",
       "#/layer_list/0: expert 0 of 2 has no slot"},
      {R"({"moe_layer_count": 1, "layer_list": [{"layer_id": 0, "device_count": 1, "device_list": [{"device_id": 0}]}]})",
       "#/layer_list/0/device_list/0/device_expert: missing"},
      {R"({"phy2log": [[0, 1]], "logcnt": [[1, 2]]})", "#/logcnt/0/1: 2, but phy2log has 1"},
      {R"({"phy2log": [[0, 1]], "log2phy": [[[0], [0]]]})", "#/log2phy/0/1: differs"},
      {R"({"placement": [[0], [0, 1]]})", "#/placement/1"},
      {R"({"placement": [[]]})", "#/placement/0: no experts"},
      {R"({"placement": [[0]], "slots": {"first_slot": [0, 2], "slot_expert": [[0]]}})",
       "#/slots/slot_expert"},
      {"num_slots: 4\n", "f.yaml: has no initial_global_assignments", "f.yaml"},
      {"a: b: c\n", "f.yaml:1: not YAML", "f.yaml"},
      {"initial_global_assignments:\n  3: [0, 1]\n  4: [0, x]\n", "f.yaml:3: not an expert",
       "f.yaml"},
      {"initial_global_assignments:\n  3: [0, 1]\n  4: [0]\n", "f.yaml:3: layer 4 has 1 slots",
       "f.yaml"},
      {"initial_global_assignments:\n  3: [0, 1]\n  3: [0, 1]\n", "f.yaml:3: layer 3 stands twice",
       "f.yaml"},
      {"initial_global_assignments:\n  3: [0, 1]\nnum_slots: 3\n", "f.yaml:3: num_slots is 3",
       "f.yaml"},
      {"initial_global_assignments:\n  3: [0, 1]\nep_size: 3\n", "f.yaml:3: \"ep_size\" is unknown",
       "f.yaml"},
      {"initial_global_assignments:\n  3: 7\n", "f.yaml:2: not a list", "f.yaml"},
      {"initial_global_assignments:\n  -1: [0, 1]\n", "f.yaml:2: not a layer", "f.yaml"},
  };
  for (const Bad& bad : table) {
    CAPTURE(bad.text);
    CHECK_THAT(failure_of(bad.text, bad.name, {.devices = 2, .layers = {}}),
               Catch::Contains(bad.says));
  }
  CHECK_THAT(failure_of(R"({"phy2log": [[0, 1]]})", "f.json", {}),
             Catch::Contains("give the number (--devices)"));
  CHECK_THAT(failure_of(R"({"physical_to_logical_map": [[0, 1]]})", "f.json",
                        {.devices = 2, .layers = {1}}),
             Catch::Contains("there is no layer 1"));
}

TEST_CASE("a placement file is written whole or not at all", "[placement][unit]") {
  const auto folder =
      std::filesystem::temp_directory_path() / ("moesim_formats_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const std::string path = (folder / "p.yaml").string();
  write_placement_file(path, format("trtllm"), small(), {});
  CHECK(same(read_placement_file(path, {.devices = 2, .layers = {}}).placement, small()));
  const ExpertPlacement holes{3, 2, {0, 2, 4}, {{0, 1, 2, -1}}};
  CHECK_THROWS_AS(write_placement_file(path, format("trtllm"), holes, {}), ConfigError);
  CHECK(same(read_placement_file(path, {.devices = 2, .layers = {}}).placement, small()));
  std::filesystem::remove_all(folder);
}

TEST_CASE("a file of SGLang's counts is a problem once it has devices", "[placement][unit]") {
  const auto document = parse_json(R"({"logical_count": [[[1, 2]], [[3, 4]]], "gpus": 2})", "c");
  CHECK(is_placement_problem(document));
  CHECK(read_placement_problem(document, "c").loads ==
        std::vector<std::vector<double>>{{4.0, 6.0}});
  auto twice = document;
  twice["loads"] = twice["logical_count"];
  CHECK_THROWS_AS(read_placement_problem(twice, "c"), ConfigError);
}

TEST_CASE("SGLang's counts are loads", "[placement][unit]") {
  using Counts = std::vector<std::vector<double>>;
  CHECK(read_sglang_counts(parse_json(R"({"logical_count": [[1, 2], [3, 4]]})", "c"), "c") ==
        Counts{{1, 2}, {3, 4}});
  CHECK(read_sglang_counts(parse_json(R"({"logical_count": [[[1, 2]], [[3, 4]]]})", "c"), "c") ==
        Counts{{4, 6}});
  for (const char* bad :
       {R"({})", R"({"logical_count": []})", R"({"logical_count": [[1], [1, 2]]})",
        R"({"logical_count": [[-1]]})", R"({"logical_count": [[[1]], []]})"}) {
    CAPTURE(bad);
    CHECK_THROWS_AS(read_sglang_counts(parse_json(bad, "c"), "c"), ConfigError);
  }
}
