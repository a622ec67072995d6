// Every message names file, JSON pointer, what is wrong and what would be right.
#include "sim/core/config.h"

#include <array>
#include <catch2/catch.hpp>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "sim/core/error.h"

using namespace moesim;
using Json = nlohmann::json;

namespace {

constexpr std::array<std::string_view, 2> policies{"contiguous", "round_robin"};
constexpr double infinity = std::numeric_limits<double>::infinity();

// The message that reading `text` with `read` fails with; empty if it does not.
template <class Read>
std::string message(const char* text, Read read) {
  const Json json = Json::parse(text);
  try {
    ConfigObject object(json, "run.json#");
    read(object);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("every reader returns what the document says", "[core][unit]") {
  const Json json = Json::parse(R"({
    "bandwidth": "400 Gbit/s", "latency": "0 us", "count": 3, "share": 0.5, "on": true,
    "name": "x", "policy": "round_robin", "format": "fp8_block", "rates": [1, 2.5],
    "ids": [3, -1], "names": ["a", "b"], "inner": {"count": 4}, "list": [{"count": 5}], "any": [1]})");
  ConfigObject object(json, "run.json#");
  CHECK(object.positive<Bandwidth>("bandwidth") == Bandwidth(50e9));
  CHECK(object.non_negative<Seconds>("latency") == Seconds(0));
  CHECK(object.integer("count", 1, 3) == 3);
  CHECK(object.number("share", 0, 1) == 0.5);
  CHECK(object.boolean_or("on", false));
  CHECK(object.text("name") == "x");
  CHECK(object.choice("policy", policies) == "round_robin");
  CHECK(object.dtype("format") == DType::fp8_block);
  CHECK(object.numbers("rates", 0, 3) == std::vector{1.0, 2.5});
  CHECK(object.integers("ids", -1, 3) == std::vector<std::int64_t>{3, -1});
  CHECK(object.texts("names") == std::vector<std::string>{"a", "b"});
  CHECK(object.object("inner").integer("count", 0) == 4);
  CHECK(object.objects("list").at(0).integer("count", 0) == 5);
  CHECK(*object.raw("any") == Json::parse("[1]"));
  CHECK_NOTHROW(object.reject_unknown_keys());
  CHECK(object.has("any"));
  CHECK_FALSE(object.has("nothing"));
  CHECK(object.keys().size() == json.size());
  CHECK(object.where() == "run.json#");
}

TEST_CASE("absent keys give the defaults", "[core][unit]") {
  const Json json = Json::object();
  ConfigObject object(json, "run.json#");
  CHECK(object.positive<Bytes>("a", Bytes(3)) == Bytes(3));
  CHECK(object.non_negative<Bytes>("b", Bytes(0)) == Bytes(0));
  CHECK(object.integer_or("c", 7, 0) == 7);
  CHECK(object.number_or("d", 0.5, 0, 1) == 0.5);
  CHECK(object.boolean_or("e", true));
  CHECK(object.text_or("f", "g") == "g");
  CHECK(object.choice_or("h", "contiguous", policies) == "contiguous");
  CHECK(object.dtype_or("i", DType::bf16) == DType::bf16);
  CHECK_FALSE(object.object_if("j"));
  CHECK(object.objects("k").empty());
  CHECK(object.raw("l") == nullptr);
}

TEST_CASE("an unknown key is named with the keys that are known", "[core][unit]") {
  CHECK(message(R"({"policy": "contiguous", "repicas": 2})", [](ConfigObject& o) {
          o.choice("policy", policies);
          o.integer_or("replicas", 0, 0);
          o.reject_unknown_keys();
        }) == "run.json#/repicas: unknown key; known here: policy, replicas");
  CHECK(message(R"({"a": 1})", [](ConfigObject& o) { o.reject_unknown_keys(); }) ==
        "run.json#/a: unknown key; the object must be empty");
}

TEST_CASE("a missing key is named with what is needed", "[core][unit]") {
  const auto missing = [](auto read) { return message("{}", read); };
  CHECK(missing([](ConfigObject& o) { o.positive<Bandwidth>("x"); }) ==
        "run.json#/x: is missing; a quantity such as \"400 Gbit/s\" is needed");
  CHECK(missing([](ConfigObject& o) { o.non_negative<Seconds>("x"); }) ==
        "run.json#/x: is missing; a quantity such as \"5 us\" is needed");
  CHECK(missing([](ConfigObject& o) { o.integer("x", 0); }) ==
        "run.json#/x: is missing; a whole number is needed");
  CHECK(missing([](ConfigObject& o) { o.number("x", 0, 1); }) ==
        "run.json#/x: is missing; a number is needed");
  CHECK(missing([](ConfigObject& o) { o.text("x"); }) ==
        "run.json#/x: is missing; a text is needed");
  CHECK(missing([](ConfigObject& o) { o.choice("x", policies); }) ==
        "run.json#/x: is missing; one of contiguous, round_robin is needed");
  CHECK(missing([](ConfigObject& o) { o.numbers("x", 0, 1); }) ==
        "run.json#/x: is missing; an array of numbers is needed");
  CHECK(missing([](ConfigObject& o) { o.integers("x", 0, 1); }) ==
        "run.json#/x: is missing; an array of whole numbers is needed");
  CHECK(missing([](ConfigObject& o) { o.texts("x"); }) ==
        "run.json#/x: is missing; an array of texts is needed");
  CHECK(missing([](ConfigObject& o) { o.object("x"); }) ==
        "run.json#/x: is missing; an object {...} is needed");
}

TEST_CASE("a value of the wrong type is shown", "[core][unit]") {
  CHECK(message(R"({"x": 989})", [](ConfigObject& o) { o.positive<FlopRate>("x"); }) ==
        "run.json#/x: 989 is not a quantity such as \"989 TFLOP/s\"");
  CHECK(message(R"({"x": "5 GB"})", [](ConfigObject& o) { o.positive<Bandwidth>("x"); }) ==
        "run.json#/x: \"5 GB\" is not a quantity such as \"400 Gbit/s\"");
  CHECK(message(R"({"x": null})", [](ConfigObject& o) { o.non_negative<Bytes>("x", Bytes(1)); }) ==
        "run.json#/x: null is not a quantity such as \"80 GiB\"");
  CHECK(message(R"({"x": 1.0})", [](ConfigObject& o) { o.integer("x", 0, 9); }) ==
        "run.json#/x: 1.0 is not a whole number (0 to 9)");
  CHECK(message(R"({"x": "1"})", [](ConfigObject& o) { o.integer_or("x", 1, 1); }) ==
        "run.json#/x: \"1\" is not a whole number (1 or more)");
  CHECK(message(R"({"x": "1"})", [](ConfigObject& o) { o.number("x", 0, 1); }) ==
        "run.json#/x: \"1\" is not a number");
  CHECK(message(R"({"x": 0})", [](ConfigObject& o) { o.boolean_or("x", true); }) ==
        "run.json#/x: 0 is not true or false");
  CHECK(message(R"({"x": 0})", [](ConfigObject& o) { o.text_or("x", ""); }) ==
        "run.json#/x: 0 is not a text \"...\"");
  CHECK(message(R"({"x": 0})", [](ConfigObject& o) { o.choice_or("x", "contiguous", policies); }) ==
        "run.json#/x: 0 is not one of: contiguous, round_robin");
  CHECK(message(R"({"x": "greedy"})", [](ConfigObject& o) { o.choice("x", policies); }) ==
        "run.json#/x: \"greedy\" is not one of: contiguous, round_robin");
  CHECK(message(R"({"x": "fp9"})", [](ConfigObject& o) { o.dtype_or("x", DType::fp8); }) ==
        "run.json#/x: \"fp9\" is not one of: fp32, tf32, bf16, fp16, fp8, fp8_block, int8, int4, "
        "fp4");
  CHECK(message(R"({"x": {}})", [](ConfigObject& o) { o.numbers("x", 0, 1); }) ==
        "run.json#/x: {} is not an array [...] of numbers");
  CHECK(message(R"({"x": 1})", [](ConfigObject& o) { o.integers("x", 0, 1); }) ==
        "run.json#/x: 1 is not an array [...] of whole numbers");
  CHECK(message(R"({"x": 1})", [](ConfigObject& o) { o.texts("x"); }) ==
        "run.json#/x: 1 is not an array [...] of texts");
  CHECK(message(R"({"x": {}})", [](ConfigObject& o) { o.objects("x"); }) ==
        "run.json#/x: {} is not an array [...] of objects");
  CHECK(message(R"({"x": 1})", [](ConfigObject& o) { o.object("x"); }) ==
        "run.json#/x: is 1; an object {...} is needed");
  CHECK(message(R"({"x": 1})", [](ConfigObject& o) { o.object_if("x"); }) ==
        "run.json#/x: is 1; an object {...} is needed");
  CHECK(message("[]", [](ConfigObject&) {}) == "run.json#: is []; an object {...} is needed");
}

TEST_CASE("an element of an array is named by its index", "[core][unit]") {
  CHECK(message(R"({"x": [1, 2, "3"]})", [](ConfigObject& o) { o.numbers("x", 0, 9); }) ==
        "run.json#/x/2: \"3\" is not a number");
  CHECK(message(R"({"x": [1, 12]})", [](ConfigObject& o) { o.integers("x", 0, 9); }) ==
        "run.json#/x/1: 12 is out of range; allowed: 0 to 9");
  CHECK(message(R"({"x": [true]})", [](ConfigObject& o) { o.texts("x"); }) ==
        "run.json#/x/0: true is not a text \"...\"");
  CHECK(message(R"({"x": [{}, 1]})", [](ConfigObject& o) { o.objects("x"); }) ==
        "run.json#/x/1: is 1; an object {...} is needed");
}

TEST_CASE("ranges include their ends and nothing else", "[core][unit]") {
  const auto integer = [](ConfigObject& o) { o.integer("x", -2, 3); };
  CHECK(message(R"({"x": -2})", integer).empty());
  CHECK(message(R"({"x": 3})", integer).empty());
  CHECK(message(R"({"x": -3})", integer) == "run.json#/x: -3 is out of range; allowed: -2 to 3");
  CHECK(message(R"({"x": 4})", integer) == "run.json#/x: 4 is out of range; allowed: -2 to 3");
  const auto at_least = [](ConfigObject& o) { o.integer_or("x", 1, 1); };
  CHECK(message(R"({"x": 0})", at_least) == "run.json#/x: 0 is out of range; allowed: 1 or more");
  CHECK(message(R"({"x": 9223372036854775807})", at_least).empty());
  CHECK(message(R"({"x": 9223372036854775808})", at_least) ==
        "run.json#/x: 9223372036854775808 is not a whole number (1 or more)");
  const auto number = [](ConfigObject& o) { o.number_or("x", 1, 0.5, 1); };
  CHECK(message(R"({"x": 0.5})", number).empty());
  CHECK(message(R"({"x": 1})", number).empty());
  CHECK(message(R"({"x": 0.4999})", number) ==
        "run.json#/x: 0.4999 is out of range; allowed: 0.5 to 1");
  CHECK(message(R"({"x": -1})", [](ConfigObject& o) { o.number("x", 0, infinity); }) ==
        "run.json#/x: -1 is out of range; allowed: 0 or more");
}

TEST_CASE("quantities keep their sign's promise", "[core][unit]") {
  CHECK(message(R"({"x": "-1 B"})", [](ConfigObject& o) { o.positive<Bytes>("x"); }) ==
        "run.json#/x: \"-1 B\" must be more than zero");
  CHECK(message(R"({"x": "0 B"})", [](ConfigObject& o) { o.positive<Bytes>("x"); }) ==
        "run.json#/x: \"0 B\" must be more than zero");
  CHECK(message(R"({"x": "0 B"})", [](ConfigObject& o) { o.positive<Bytes>("x", Bytes(1)); }) ==
        "run.json#/x: \"0 B\" must be more than zero");
  CHECK(message(R"({"x": "-1 B"})", [](ConfigObject& o) { o.non_negative<Bytes>("x"); }) ==
        "run.json#/x: \"-1 B\" must be zero or more");
  CHECK(message(R"({"x": "0 B"})", [](ConfigObject& o) { o.non_negative<Bytes>("x"); }).empty());
}

TEST_CASE("nested objects extend the pointer and keys are escaped", "[core][unit]") {
  CHECK(message(R"({"a": {"b": [{}, {"c": 1}]}})", [](ConfigObject& o) {
          o.object("a").objects("b").at(1).text("c");
        }) == "run.json#/a/b/1/c: 1 is not a text \"...\"");
  CHECK(message(R"({"a/b": {"~": 1}})", [](ConfigObject& o) { o.object("a/b").text("~"); }) ==
        "run.json#/a~1b/~0: 1 is not a text \"...\"");
  CHECK(message(R"({"x/y": [1, -1]})", [](ConfigObject& o) { o.numbers("x/y", 0, 1); }) ==
        "run.json#/x~1y/1: -1 is out of range; allowed: 0 to 1");
}

TEST_CASE("a caller's own complaint carries the pointer", "[core][unit]") {
  CHECK(message(R"({"x": 1})", [](ConfigObject& o) { o.fail("x", "does not divide 32"); }) ==
        "run.json#/x: does not divide 32");
}

TEST_CASE("long values are cut between characters", "[core][unit]") {
  // 58 letters after the quote, then a two-byte character that would straddle the cut at 60.
  const Json json = {{"x", std::string(58, 'a') + "\u00e9" + std::string(50, 'b')}};
  ConfigObject object(json, "run.json#");
  CHECK_THROWS_WITH(object.number("x", 0, 1),
                    "run.json#/x: \"" + std::string(58, 'a') + "... is not a number");
}

TEST_CASE("the effective document repeats what was read, defaults included", "[core][unit]") {
  const Json json = Json::parse(R"({
    "bandwidth": "400 Gbit/s", "inner": {"on": false}, "list": [{"n": 1}, {}],
    "rates": [1, 2.5], "given": "text", "custom": "name"})");
  Json effective;
  ConfigObject object(json, "run.json#", &effective);
  object.positive<Bandwidth>("bandwidth");
  object.non_negative<Seconds>("latency", Seconds(2e-6));
  ConfigObject inner = object.object("inner");
  inner.boolean_or("on", true);
  inner.integer_or("depth", 4, 0);
  for (ConfigObject& element : object.objects("list")) {
    element.integer_or("n", 9, 0);
    element.dtype_or("format", DType::bf16);
  }
  object.numbers("rates", 0, 9);
  object.text("given");
  object.choice_or("policy", "contiguous", policies);
  object.object_if("absent");
  object.objects("none");
  object.raw("custom");
  object.set_effective("custom", {{"resolved", 1}});
  object.reject_unknown_keys();
  CHECK(effective == Json::parse(R"({
    "bandwidth": "5e+10 B/s", "latency": "2e-06 s", "inner": {"on": false, "depth": 4},
    "list": [{"n": 1, "format": "bf16"}, {"n": 9, "format": "bf16"}],
    "rates": [1, 2.5], "given": "text", "policy": "contiguous", "custom": {"resolved": 1}})"));
}

TEST_CASE("the effective document reads back as itself", "[core][property]") {
  const auto read = [](const Json& json) {
    Json effective;
    ConfigObject object(json, "run.json#", &effective);
    object.positive<PriceRate>("price", PriceRate(2.0 / 3600));
    object.number_or("share", 0.1, 0, 1);
    object.objects("list");
    object.reject_unknown_keys();
    return effective;
  };
  const Json once = read(Json::parse(R"({"price": "1.99 USD/h", "list": [{}, {}]})"));
  CHECK(read(once) == once);
}

TEST_CASE("reading an array of objects twice keeps what the first reading echoed", "[core][unit]") {
  const Json json = Json::parse(R"({"list": [{"n": 1}]})");
  Json effective;
  ConfigObject object(json, "run.json#", &effective);
  std::vector<ConfigObject> first = object.objects("list");
  first.at(0).integer("n", 0);
  std::vector<ConfigObject> second = object.objects("list");
  first.at(0).integer_or("m", 2, 0);
  second.at(0).integer_or("k", 3, 0);
  CHECK(effective == Json::parse(R"({"list": [{"n": 1, "m": 2, "k": 3}]})"));
}
