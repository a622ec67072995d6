#include "hardware/device.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "hardware/sources.h"
#include "sim/core/error.h"
#include "tests/unit/hardware/support.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

Json good_device() {
  return Json::parse(R"({
    "name": "d1", "architecture": "die", "kind": "gpu",
    "peak": {"bf16": "100 TFLOP/s", "fp8": "200 TFLOP/s"},
    "memory": {"name": "hbm", "capacity": "80 GiB", "read": "3 TB/s", "write": "2 TB/s",
               "latency": "300 ns"},
    "multiprocessors": 132, "l2": "50 MiB", "tdp": "700 W", "idle": "70 W", "price": "3.6 USD/h",
    "sources": [{"fields": [""], "kind": "data sheet", "source": "a data sheet", "date": "2024-05"}]})");
}

TEST_CASE("a device is read in SI", "[hardware][unit]") {
  const Json json = good_device();
  const Device device = parse_device(ConfigObject(json, "d.json#"));
  CHECK(device.name == "d1");
  CHECK(device.architecture == "die");
  CHECK(device.kind == DeviceKind::gpu);
  REQUIRE(device.peak.size() == 2);
  CHECK(device.peak.at(DType::fp8).si() == 200e12);
  CHECK(device.memory.name == "hbm");
  CHECK(device.memory.capacity.si() == 80.0 * 1024 * 1024 * 1024);
  CHECK(device.memory.read.si() == 3e12);
  CHECK(device.memory.write.si() == 2e12);
  CHECK(device.memory.latency.si() == Approx(300e-9));
  CHECK(device.multiprocessors == 132);
  CHECK(device.l2.si() == 50.0 * 1024 * 1024);
  CHECK(device.tdp.si() == 700.0);
  CHECK(device.idle.si() == 70.0);
  CHECK(device.price.si() == Approx(0.001));
  CHECK(name_of(device.kind) == "gpu");
}

struct BadInput {
  std::string patch;  // JSON merge patch
  std::string message;
};

TEST_CASE("a bad device is refused with pointer and remedy", "[hardware][unit]") {
  const auto bad = GENERATE(
      BadInput{R"({"name": 7})", "d.json#/name: 7 is not a text \"...\""},
      BadInput{R"({"kind": "tpu"})", "d.json#/kind: \"tpu\" is not one of: gpu, npu, cpu"},
      BadInput{R"({"kind": null})", "d.json#/kind: is missing; one of gpu, npu, cpu is needed"},
      BadInput{R"({"peak": {"bf16": null, "fp8": null}})",
               "d.json#/peak: is empty; give at least one rate, such as {\"bf16\": \"989 "
               "TFLOP/s\"}"},
      BadInput{R"({"peak": {"fp8_block": "200 TFLOP/s"}})",
               "d.json#/peak/fp8_block: has no peak of its own; it runs at that of fp8, give that "
               "one"},
      BadInput{R"({"peak": {"bf16": "100 TB/s"}})",
               "d.json#/peak/bf16: \"100 TB/s\" is not a quantity such as \"989 TFLOP/s\""},
      BadInput{R"({"memory": {"capacity": "-80 GiB"}})",
               "d.json#/memory/capacity: \"-80 GiB\" must be more than zero"},
      BadInput{R"({"memory": {"capacity": 80}})",
               "d.json#/memory/capacity: 80 is not a quantity such as \"80 GiB\""},
      BadInput{R"({"memory": {"read": "inf B/s"}})",
               "d.json#/memory/read: \"inf B/s\" is not a quantity such as \"400 Gbit/s\""},
      BadInput{
          R"({"memory": {"speed": "1 B/s"}})",
          "d.json#/memory/speed: unknown key; known here: capacity, latency, name, read, write"},
      BadInput{R"({"multiprocessors": 0})",
               "d.json#/multiprocessors: 0 is out of range; allowed: 1 to 1000000"},
      BadInput{R"({"multiprocessors": 1.5})",
               "d.json#/multiprocessors: 1.5 is not a whole number (1 to 1000000)"},
      BadInput{R"({"l2": "90 GiB"})", "d.json#/l2: is not smaller than the device's memory"},
      BadInput{R"({"idle": "800 W"})",
               "d.json#/idle: is more than tdp; idle power is at most the thermal design power"},
      BadInput{R"({"tdp": "0 W"})", "d.json#/tdp: \"0 W\" must be more than zero"},
      BadInput{R"({"price": "-1 USD/h"})", "d.json#/price: \"-1 USD/h\" must be zero or more"},
      BadInput{R"({"sources": null})",
               "d.json#/sources: no source for /idle; add {\"fields\": [\"/idle\"], \"kind\": "
               "\"assumption\", \"source\": \"...\", \"date\": \"YYYY-MM\"}"});
  Json json = good_device();
  json.merge_patch(Json::parse(bad.patch));
  CHECK_THROWS_WITH(parse_device(ConfigObject(json, "d.json#")), bad.message);
}

TEST_CASE("sources are strict", "[hardware][unit]") {
  const auto bad = GENERATE(
      BadInput{R"([{"fields": ["/peak", "/memory", "/l2", "/tdp", "/idle", "/price"],
                    "kind": "data sheet", "source": "a data sheet", "date": "2024"}])",
               "d.json#/sources: no source for /multiprocessors; add {\"fields\": "
               "[\"/multiprocessors\"], \"kind\": \"assumption\", \"source\": \"...\", "
               "\"date\": \"YYYY-MM\"}"},
      BadInput{
          R"([{"fields": ["/memory/rea"], "kind": "measured", "source": "s", "date": "2024"}])",
          "d.json#/sources/0/fields/0: \"/memory/rea\" covers no number of this document; "
          "write the JSON pointer of a field (\"/memory\"), or \"\" for all of them"},
      BadInput{R"([{"fields": ["/name"], "kind": "measured", "source": "s", "date": "2024"}])",
               "d.json#/sources/0/fields/0: \"/name\" covers no number of this document; "
               "write the JSON pointer of a field (\"/memory\"), or \"\" for all of them"},
      BadInput{R"([{"fields": [""], "kind": "measured", "source": "", "date": "2024"}])",
               "d.json#/sources/0/source: is empty; name the document or measurement that the "
               "numbers come from"},
      BadInput{R"([{"fields": [""], "kind": "measured", "source": "s", "date": "May 2024"}])",
               "d.json#/sources/0/date: is not a date; write \"YYYY\", \"YYYY-MM\" or "
               "\"YYYY-MM-DD\""},
      BadInput{R"([{"fields": [""], "kind": "measured", "source": "s", "date": "2024-5"}])",
               "d.json#/sources/0/date: is not a date; write \"YYYY\", \"YYYY-MM\" or "
               "\"YYYY-MM-DD\""},
      BadInput{R"([{"fields": [""], "kind": "measured", "source": "s"}])",
               "d.json#/sources/0/date: is missing; a text is needed"},
      BadInput{R"([{"fields": [""], "kind": "hearsay", "source": "s", "date": "2024"}])",
               "d.json#/sources/0/kind: \"hearsay\" is not one of: data sheet, platform file, "
               "measured, assumption, scenario"},
      BadInput{R"([{"fields": [""], "kind": "scenario", "source": "s", "date": "2024"}])",
               "d.json#/sources/0/kind: \"scenario\" goes with the date \"run\" and with no other"},
      BadInput{R"([{"fields": [""], "kind": "measured", "source": "s", "date": "run"}])",
               "d.json#/sources/0/kind: \"scenario\" goes with the date \"run\" and with no other"},
      BadInput{
          R"([{"fields": [""], "kind": "measured", "source": "s", "date": "2024", "url": "x"}])",
          "d.json#/sources/0/url: unknown key; known here: date, fields, kind, source"},
      BadInput{R"({"fields": [""]})",
               "d.json#/sources: {\"fields\":[\"\"]} is not an array [...] "
               "of objects"});
  Json json = good_device();
  json["sources"] = Json::parse(bad.patch);
  CHECK_THROWS_WITH(parse_device(ConfigObject(json, "d.json#")), bad.message);
}

TEST_CASE("numbers of a document", "[hardware][unit]") {
  const Json json = Json::parse(R"({"name": "4 of them", "a": 1, "b": {"c": "2 B", "d": "x2"},
    "e": ["3 s", true, "4s"], "kind": "gpu", "sources": [{"date": 1}], "free": 5})");
  using Fields = std::vector<std::string>;
  const std::vector<std::string_view> left_out{"/free"};
  CHECK(numeric_fields(json, left_out) == Fields{"/a", "/b/c", "/e/0"});
  CHECK(covers("", "/a"));
  CHECK(covers("/b", "/b/c"));
  CHECK_FALSE(covers("/b", "/bc"));
  CHECK_FALSE(covers("/b/c", "/b"));
}

TEST_CASE("an effective device reads back the same", "[hardware][property]") {
  Json effective;
  const Json json = good_device();
  parse_device(ConfigObject(json, "d.json#", &effective));
  CHECK(effective["memory"]["read"] == "3e+12 B/s");
  Json again;
  load_device(effective, "e.json#", {}, &again);
  CHECK(again == effective);
}

TEST_CASE("an unknown device names those there are", "[hardware][unit]") {
  CHECK_THROWS_WITH(load_device("h9000", "run.json#/d", test::shipped_catalog()),
                    Catch::StartsWith("run.json#/d: \"h9000\" is not in the catalog; it has: "
                                      "a100_pcie, a100_sxm, a30, a800_sxm"));
}

}  // namespace
}  // namespace moesim
