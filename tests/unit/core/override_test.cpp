#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "sim/core/config.h"
#include "sim/core/error.h"

using namespace moesim;
using Json = nlohmann::json;

namespace {

Json document() {
  return Json::parse(R"({"a": {"b": 1, "list": [1, {"c": 2}]}, "text": "x", "none": null})");
}

Json overridden(std::string_view assignment) {
  Json json = document();
  apply_override(json, assignment);
  return json;
}

std::string message(const std::string& assignment) {
  Json json = document();
  try {
    apply_override(json, assignment);
  } catch (const ConfigError& error) {
    CHECK(json == document());  // nothing is half done
    CHECK(error.where() == "--set " + assignment);
    return std::string(error.what()).substr(error.where().size() + 2);
  }
  return "";
}

}  // namespace

TEST_CASE("an override replaces a value of any kind", "[core][unit]") {
  CHECK(overridden("/a/b=2").at("/a/b"_json_pointer) == 2);
  CHECK(overridden("/a/b=2.5").at("/a/b"_json_pointer) == 2.5);
  CHECK(overridden("/a/b=true").at("/a/b"_json_pointer) == true);
  CHECK(overridden("/a/b=null").at("/a/b"_json_pointer) == nullptr);
  CHECK(overridden("/a/b=[1, 2]").at("/a/b"_json_pointer) == Json({1, 2}));
  CHECK(overridden(R"(/a={"c": "d"})").at("a") == Json{{"c", "d"}});
  CHECK(overridden("/a/list/1/c=3").at("/a/list/1/c"_json_pointer) == 3);
  CHECK(overridden("/a/list/0=9").at("/a/list/0"_json_pointer) == 9);
}

TEST_CASE("what is not JSON is a text", "[core][unit]") {
  CHECK(overridden("/text=round_robin").at("text") == "round_robin");
  CHECK(overridden("/text=80 GiB").at("text") == "80 GiB");
  CHECK(overridden("/text=\"80 GiB\"").at("text") == "80 GiB");
  CHECK(overridden("/text=").at("text") == "");
  CHECK(overridden("/text=a=b").at("text") == "a=b");
  CHECK(overridden("/text=../trace.moetrace").at("text") == "../trace.moetrace");
  CHECK(overridden("/text=1e999").at("text") == "1e999");
}

TEST_CASE("an override creates the objects on its way", "[core][unit]") {
  CHECK(overridden("/new/deep/key=1").at("/new/deep/key"_json_pointer) == 1);
  CHECK(overridden("/none/key=1").at("/none/key"_json_pointer) == 1);
  CHECK(overridden("/a/list/1/d/e=1").at("/a/list/1/d/e"_json_pointer) == 1);
  // A number is a key where there is no array: no gigantic array comes into being.
  CHECK(overridden("/new/999999999999=1").at("new") == Json{{"999999999999", 1}});
  CHECK(overridden("/x~1y/~0=1").at("x/y") == Json{{"~", 1}});
  CHECK(overridden("/=1").at("") == 1);  // the empty key
}

TEST_CASE("only existing elements of arrays can be set", "[core][unit]") {
  const std::string none = "the array /a/list has no element ";
  CHECK(message("/a/list/2=1") == none + "2; its length is 2");
  CHECK(message("/a/list/-=1") == none + "-; its length is 2");
  CHECK(message("/a/list/01=1") == none + "01; its length is 2");
  CHECK(message("/a/list/x=1") == none + "x; its length is 2");
  CHECK(message("/a/list/-1=1") == none + "-1; its length is 2");
  CHECK(message("/a/list/18446744073709551616=1") ==
        none + "18446744073709551616; its length is 2");
}

TEST_CASE("texts and numbers have no fields", "[core][unit]") {
  CHECK(message("/text/b=1") == "/text is no object; it has no fields");
  CHECK(message("/a/b/c/d=1") == "/a/b is no object; it has no fields");
  CHECK(message("/a/list/0/c=1") == "/a/list/0 is no object; it has no fields");
}

TEST_CASE("malformed assignments are refused", "[core][unit]") {
  const std::string form = "is not of the form /json/pointer=value";
  CHECK(message("") == form);
  CHECK(message("/a/b") == form);
  CHECK(message("a/b=1") == form);
  CHECK(message("=1") == form);
  CHECK(message("/a~2b=1") ==
        "is not a JSON pointer: after ~ only 0 (for ~) and 1 (for /) may follow");
  CHECK(message("/text=\xff") == "is not UTF-8");
  CHECK(message("/\xc3=1") == "is not UTF-8");
  CHECK_THAT(message(R"(/a={"k": 1, "k": 2})"), Catch::Contains("stands twice"));
  CHECK_THAT(message("/a=" + std::string(300, '[') + std::string(300, ']')),
             Catch::Contains("nested more than 200 deep"));
  std::string deep;
  for (int i = 0; i < 200; ++i) {
    deep += "/k";
  }
  CHECK(message("/k" + deep + "=1") == "leads more than 200 deep");
  CHECK(overridden(deep + "=1").at(Json::json_pointer(deep)) == 1);
}
