#include "sim/engine/results/timeline.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "tests/unit/engine/hand_made_step.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

// The kernels' events; names as "pid/tid name" go to `names`.
std::vector<Json> spans_of(const Json& document, std::vector<std::string>& names) {
  std::vector<Json> spans;
  for (const Json& event : document.at("traceEvents")) {
    if (event.at("ph") == "X") {
      spans.push_back(event);
    } else {
      REQUIRE(event.at("ph") == "M");
      const std::string lane = event.at("name") == "process_name"
                                   ? event.at("pid").dump()
                                   : event.at("pid").dump() + "/" + event.at("tid").dump();
      names.push_back(lane + " " + event.at("args").at("name").get<std::string>());
    }
  }
  return spans;
}

bool has(const std::vector<std::string>& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
}

}  // namespace

// Two nodes of two devices. Device 3 runs two kernels, then combines with device 2.
TEST_CASE("a timeline shows every kernel where and when it ran", "[results][unit]") {
  HandMadeStep hand(4, {{0}, {1}, {2}, {3}, {2, 3}});
  const TaskId chain = hand.task(
      3, {{Category::attention, 2e-6, "q \"proj\""}, {Category::router, 1e-6, "logits"}}, {}, 5);
  hand.task(4, {{Category::combine, 4e-6, "combine"}}, {chain}, 5);
  const RunResult result = hand.run();
  std::vector<std::string> names;
  const auto spans = spans_of(Json::parse(timeline_json(hand.step, result, 2)), names);
  CHECK(has(names, "0 node 0"));
  CHECK(has(names, "1 node 1"));
  CHECK(has(names, "2 network"));
  CHECK(has(names, "0/1 device 1"));
  CHECK(has(names, "1/1 device 3"));
  CHECK(has(names, "2/0 combine 0"));
  CHECK(names.size() == 8);
  REQUIRE(spans.size() == 3);
  const auto expect = [&spans](std::size_t i, const char* name, const char* category, int pid,
                               int tid, double start_us, double us) {
    CAPTURE(i);
    CHECK(spans[i].at("name") == name);
    CHECK(spans[i].at("cat") == category);
    CHECK(spans[i].at("pid") == pid);
    CHECK(spans[i].at("tid") == tid);
    CHECK(spans[i].at("ts").get<double>() == Approx(start_us).margin(1e-9));
    CHECK(spans[i].at("dur").get<double>() == Approx(us).epsilon(1e-9));
    CHECK(spans[i].at("args").at("layer") == 5);
  };
  expect(0, "q \"proj\"", "attention", 1, 1, 0.0, 2.0);
  expect(1, "logits", "router", 1, 1, 2.0, 1.0);
  expect(2, "combine", "combine", 2, 0, 3.0, 4.0);
}

TEST_CASE("streams of one device have lanes of their own", "[results][unit]") {
  HandMadeStep hand(2, {{0}, {1}, {0}, {1}});
  hand.task(1, {{Category::attention, 2e-6}});
  hand.task(3, {{Category::experts, 2e-6}});
  std::vector<std::string> names;
  const auto spans = spans_of(Json::parse(timeline_json(hand.step, hand.run(), 2)), names);
  CHECK(has(names, "0/1 device 1"));
  CHECK(has(names, "0/3 device 1, stream 1"));
  REQUIRE(spans.size() == 2);
  CHECK(spans[0].at("tid") == 1);
  CHECK(spans[1].at("tid") == 3);
}

}  // namespace moesim
