#include "sim/reproduce/claims.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "sim/core/config.h"
#include "sim/core/error.h"

using namespace moesim;
using Json = nlohmann::json;

namespace {

Json claim(const std::string& id = "a") {
  return {{"id", id},
          {"kind", "predict"},
          {"unit", "%"},
          {"value", 17.5},
          {"tolerance", {{"type", "points"}, {"value", 6}}}};
}

}  // namespace

TEST_CASE("claims keep what they publish", "[reproduce][unit]") {
  Json range = claim("b");
  range["value"] = {31, 98.25};
  Json formula = claim("c");
  formula["value"] = "G*N*(L*p+G)";
  formula["tolerance"] = {{"type", "none"}, {"value", nullptr}};
  const auto claims = parse_claims(Json::array({claim(), range, formula}), "claims.json");
  REQUIRE(claims.size() == 3);
  CHECK(claims[0].numbers == std::vector{17.5});
  CHECK(claims[0].half_digits.front() == Approx(0.05));
  CHECK(claims[0].kind == ClaimKind::predict);
  CHECK(claims[1].numbers == std::vector{31.0, 98.25});
  CHECK(claims[1].half_digits[0] == Approx(0.5));
  CHECK(claims[1].half_digits[1] == Approx(0.005));
  CHECK(claims[2].numbers.empty());
  CHECK(claims[2].value_json == "\"G*N*(L*p+G)\"");
}

TEST_CASE("bad claims are refused with their place", "[reproduce][unit]") {
  const auto refused = [](const Json& document, const std::string& place, const std::string& what) {
    CAPTURE(document.dump());
    CHECK_THROWS_AS(parse_claims(document, "c.json"), ConfigError);
    CHECK_THROWS_WITH(parse_claims(document, "c.json"),
                      Catch::Contains(place) && Catch::Contains(what));
  };
  const auto with = [](const std::string& key, const Json& value) {
    Json edited = claim();
    edited[key] = value;
    return Json::array({claim("first"), edited});
  };
  const auto without = [](const std::string& key) {
    Json edited = claim();
    edited.erase(key);
    return Json::array({edited});
  };
  refused(Json::object(), "c.json#", "array");
  refused(Json::array({1}), "c.json#/0", "object");
  refused(with("kind", "guess"), "c.json#/1/kind", "predict, calibrate");
  refused(with("kinds", "x"), "c.json#/1/kinds", "unknown key");
  refused(with("id", ""), "c.json#/1/id", "empty");
  refused(with("id", "first"), "c.json#/1/id", "twice");
  refused(with("tolerance", 3), "c.json#/1/tolerance", "object");
  refused(with("tolerance", {{"type", "about"}, {"value", 1}}), "/1/tolerance/type", "relative");
  refused(with("tolerance", {{"type", "relative"}, {"value", nullptr}}), "/1/tolerance/value",
          "needs a number");
  refused(with("tolerance", {{"type", "relative"}, {"value", -1}}), "/1/tolerance/value", "-1");
  refused(with("tolerance", {{"type", "exact"}, {"values", 1}}), "/1/tolerance/values", "unknown");
  for (const char* key : {"id", "kind", "unit", "value", "tolerance"}) {
    refused(without(key), std::string("c.json#/0/") + key, "is missing");
  }
}

TEST_CASE("near texts come nearest first", "[reproduce][unit]") {
  CHECK(near_texts("moetunr-skew", {"exflow", "moetuner-skew", "moetuner-tails"}).front() ==
        "moetuner-skew");
  CHECK(near_texts("x", {}).empty());
  CHECK(near_texts("abc", {"abd", "abc", "xyz", "ab"}).size() == 3);
}

TEST_CASE("the published claims of the field are read", "[reproduce][unit][shared]") {
  const auto [file, size] =
      GENERATE(table<std::string, std::size_t>({{"claims_a.json", 94}, {"claims_b.json", 148}}));
  const std::string path = std::string(MOESIM_SHARED_DIR) + "/data/claims/" + file;
  if (!std::filesystem::exists(path)) {
    WARN("skipped: " << path << " is not there");
    return;
  }
  const auto claims = parse_claims(read_json_file(path), path);
  CHECK(claims.size() == size);
}

TEST_CASE("figures beside the headline are known", "[reproduce][unit]") {
  Json edited = claim();
  edited["value_text"] = {1.08, 1.16, "1.22"};
  edited["baseline"] = "32B dense 973 (b336, 86.34ms); 72B: 583.5 (x2), v1.2.3";
  const Claim read = parse_claims(Json::array({edited}), "c.json").front();
  CHECK(read.all_numbers == std::vector{1.08, 1.16});
  CHECK(read.baseline_numbers == std::vector{973.0, 583.5});
}
