// Laws that every overlap schedule keeps on lowered steps.
#include <algorithm>
#include <catch2/catch.hpp>
#include <numeric>

#include "sim/core/error.h"
#include "sim/engine/results/step_report.h"
#include "tests/unit/engine/small_scenario.h"

using namespace moesim;
using moesim::testing::Ran;
using moesim::testing::simulation_of;
using moesim::testing::small_scenario;

namespace {

using Json = nlohmann::json;

constexpr std::array serial{"none", "shared_expert", "single_batch", "by_arrival"};

Json of_schedule(const Json& base, const Json& overlap) {
  Json scenario = base;
  scenario["policy"]["overlap"] = overlap;
  return scenario;
}

// Two nodes, so that tokens travel within and between them.
Json decode_base() { return small_scenario(16, 24); }

Json prefill_base() {
  Json scenario = small_scenario(16, 1);
  scenario["workload"] = {{"kind", "prefill"},
                          {"tokens_per_rank", 1024},
                          {"prompt_tokens", 512},
                          {"routing", "power_law:0.6"}};
  scenario["policy"]["all_to_all"] = "deepep_normal";
  return scenario;
}

Json longcat_base() {
  Json scenario = small_scenario(16, 24);
  scenario["model"] = "longcat-flash";
  return scenario;
}

// Every schedule that a model has, chunks with a fixed degree.
std::vector<Json> schedules(bool shortcut) {
  std::vector<Json> all;
  for (const OverlapEntry& entry : overlap_policies()) {
    if ((entry.needs_shortcut && !shortcut) || entry.gathers_in_units) {
      continue;
    }
    Json overlap{{"schedule", entry.name}};
    if (has_degree(entry)) {
      overlap["degree"] = 2;
    }
    all.push_back(overlap);
  }
  return all;
}

double sum_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

// The same graph with every rate doubled and every latency halved.
TaskGraph twice_as_fast(const TaskGraph& graph) {
  TaskGraph fast;
  fast.resources = graph.resources;
  for (Resource& resource : fast.resources) {
    resource.rate *= 2;
  }
  for (std::size_t p = 0; p < graph.program_count(); ++p) {
    const auto program = static_cast<ProgramId>(p);
    fast.begin_program();
    for (const Segment& segment : graph.segments(program)) {
      fast.add_segment(segment.latency_s / 2, graph.needs(segment));
    }
    for (const Hold& hold : graph.holds(program)) {
      fast.add_hold(hold);
    }
  }
  for (const Task& task : graph.tasks()) {
    fast.add_task(
        {.program = task.program, .resource_offset = task.resource_offset, .stream = task.stream},
        graph.predecessors(task));
  }
  return fast;
}

// Seconds of work on every resource, and of all tasks one after the other.
struct Bounds {
  double busiest_s = 0.0;
  double all_s = 0.0;
};

Bounds bounds_of(const TaskGraph& graph) {
  std::vector<double> work(graph.resources.size(), 0.0);
  Bounds bounds;
  for (const Task& task : graph.tasks()) {
    for (const Segment& segment : graph.segments(task.program)) {
      double longest = 0.0;
      for (const Need& need : graph.needs(segment)) {
        const auto r = static_cast<std::size_t>(need.resource + task.resource_offset);
        const double seconds = need.amount / graph.resources[r].rate;
        work[r] += seconds;
        longest = std::max(longest, seconds);
      }
      bounds.all_s += segment.latency_s + longest;
    }
  }
  bounds.busiest_s = *std::ranges::max_element(work);
  return bounds;
}

double hidden(const Ran& run) {
  return mean_device(run.step.lowered, run.step.result).hidden_communication_s;
}

}  // namespace

TEST_CASE("a step lies between its busiest resource and everything in turn", "[engine][property]") {
  for (const Json& base : {decode_base(), prefill_base(), longcat_base()}) {
    for (const Json& overlap : schedules(base["model"] == "longcat-flash")) {
      CAPTURE(base["model"], overlap);
      const Ran run(of_schedule(base, overlap));
      const Bounds bounds = bounds_of(run.step.lowered.graph);
      CHECK(run.step_s() >= bounds.busiest_s * (1 - 1e-12));
      CHECK(run.step_s() <= bounds.all_s);
      const RunResult fast = make_fast_backend()->run(twice_as_fast(run.step.lowered.graph), false);
      CHECK(fast.makespan_s == Approx(run.step_s() / 2).epsilon(1e-12));
    }
  }
}

TEST_CASE("schedules of one batch do its work, none more slowly without interference",
          "[engine][property]") {
  for (const Json& base : {decode_base(), prefill_base()}) {
    const Ran none(base);
    for (const char* name : serial) {
      CAPTURE(base["workload"]["kind"], name);
      const Ran run(of_schedule(base, {{"schedule", name}, {"interference", "none"}}));
      const LoweredStep& step = run.step.lowered;
      CHECK(step.flops == Approx(none.step.lowered.flops).epsilon(1e-6));
      CHECK(sum_of(step.link_bytes) == Approx(sum_of(none.step.lowered.link_bytes)).epsilon(1e-9));
      CHECK(step.token_transfers == Approx(none.step.lowered.token_transfers).epsilon(1e-9));
      if (find_overlap(name, "test").parts == PartRule::whole) {
        CHECK(step.memory_bytes == Approx(none.step.lowered.memory_bytes).epsilon(1e-12));
        CHECK(run.step_s() <= none.step_s() * (1 + 1e-12));
      }
    }
  }
}

TEST_CASE("chunks do the work of the batch, and one chunk is no overlap to the bit",
          "[engine][property]") {
  for (const Json& base : {decode_base(), prefill_base()}) {
    const Ran none(base);
    const auto chunked = [&base](const Json& degree) {
      return Ran(of_schedule(base, {{"schedule", "chunked"}, {"degree", degree}}));
    };
    CHECK(chunked(1).step.result.makespan_s == none.step_s());
    const Ran four = chunked(4);
    CHECK(four.step.lowered.flops == Approx(none.step.lowered.flops).epsilon(1e-9));
    CHECK(four.step.lowered.token_transfers == none.step.lowered.token_transfers);
    // adaptive: the best of its degrees, as they are on their own.
    const Ran best = chunked("adaptive");
    REQUIRE(best.step.tried.size() == 4);
    CHECK(best.step.tried[0].step_s == none.step_s());
    CHECK(best.step.tried[2].step_s == four.step_s());
    CHECK(best.step_s() ==
          std::ranges::min_element(best.step.tried, {}, &TriedDegree::step_s)->step_s);
  }
}

TEST_CASE("slices gather what they received apart", "[engine][property]") {
  Json scenario = small_scenario(16, 24);
  scenario["model"] = "mixtral-8x7b";
  scenario["parallelism"] = {{"attention", {{"tp", 2}, {"dp", 8}}},
                             {"experts", {{"etp", 2}, {"ep", 8}}}};
  const Ran none(scenario);
  const auto run = [&scenario](int degree) {
    return Ran(of_schedule(scenario, {{"schedule", "three_stream"}, {"degree", degree}}));
  };
  const Ran one = run(1);
  // Each token copy crosses the fabric to one slice, not to both.
  const auto fabric_bytes = [](const Ran& ran) {
    double bytes = 0.0;
    for (const LinkUse& use : link_use(ran.simulation.topology(), ran.step)) {
      bytes += use.kind == LinkKind::nic_up ? use.bytes : 0.0;
    }
    return bytes;
  };
  CHECK(fabric_bytes(none) > 0.0);
  CHECK(2 * fabric_bytes(one) == Approx(fabric_bytes(none)).epsilon(1e-9));
  CHECK(one.step.lowered.flops == Approx(none.step.lowered.flops).epsilon(1e-9));
  CHECK(run(4).step.lowered.token_transfers ==
        Approx(none.step.lowered.token_transfers).epsilon(1e-9));
  scenario["parallelism"]["experts"] = {{"ep", 8}, {"edp", 2}};
  CHECK_THROWS_WITH(run(1), Catch::Contains("/policy/overlap"));
}

TEST_CASE("interference slows kernels beside communication, and nothing else",
          "[engine][property]") {
  const auto took = [](const char* schedule, const char* interference, const char* exchange) {
    Json scenario =
        of_schedule(prefill_base(), {{"schedule", schedule}, {"interference", interference}});
    scenario["policy"]["all_to_all"] = exchange;
    return Ran(scenario);
  };
  // Nothing runs beside anything.
  CHECK(took("none", "auto", "deepep_normal").step_s() ==
        took("none", "none", "deepep_normal").step_s());
  const Ran slowed = took("two_batch", "auto", "deepep_normal");
  const Ran free = took("two_batch", "none", "deepep_normal");
  CHECK(slowed.step_s() > free.step_s());
  // 24 of 132 multiprocessors: what runs beside takes at most 132/108 of its time.
  CHECK(slowed.step_s() - free.step_s() <= hidden(slowed) * 24.0 / 132.0 * (1 + 1e-9));
  // Every device is slowed.
  const TimeUse with = time_use(slowed.step.lowered, slowed.step.result);
  const TimeUse without = time_use(free.step.lowered, free.step.result);
  for (std::size_t d = 0; d < with.devices.size(); ++d) {
    CHECK(with.devices[d].kernels_s > without.devices[d].kernels_s);
  }
  // The hook of the low-latency kernels takes none.
  CHECK(took("two_batch", "auto", "deepep_low_latency").step_s() ==
        took("two_batch", "none", "deepep_low_latency").step_s());
}

TEST_CASE("a report says what hid which communication, and what that cost", "[results][unit]") {
  const Ran run(of_schedule(prefill_base(), "two_batch"));
  const Json report = to_json(step_report(run.simulation, {run.step_s()}, run.step), Json());
  const Json& rows = report.at("breakdown").at("hidden");
  double hidden_s = 0.0;
  for (const auto& [name, row] : rows.items()) {
    double under = 0.0;
    for (const auto& part : row.at("under").items()) {
      under += part.value().get<double>();
    }
    CHECK(row.at("hidden_s").get<double>() == Approx(under));
    CHECK(row.at("exposed_s") == report.at("mean_device").at(name + "_s"));
    hidden_s += under;
  }
  CHECK(rows.size() == 2);
  CHECK(hidden_s == Approx(report.at("metrics").at("hidden_communication_s").get<double>()));
  const Json& held = report.at("provenance").at("interference");
  REQUIRE(held.size() == 2);
  for (const Json& row : held) {
    CHECK(row.at("factor").get<double>() == Approx(24.0 / 132.0));
    CHECK_FALSE(row.at("source").get<std::string>().empty());
  }
  const Ran none(prefill_base());
  const Json plain = to_json(step_report(none.simulation, {none.step_s()}, none.step), Json());
  CHECK_FALSE(plain.at("breakdown").contains("hidden"));
  CHECK_FALSE(plain.at("provenance").contains("interference"));
}

TEST_CASE("schedules that a scenario cannot have are refused", "[engine][unit]") {
  const auto refused = [](const Json& overlap, const std::string& pointer) {
    CHECK_THROWS_WITH(simulation_of(of_schedule(decode_base(), overlap)),
                      Catch::Contains("/policy/overlap" + pointer));
  };
  refused("shortcut", ": ");
  refused({{"schedule", "chunked"}, {"degree", 9}}, "/degree");
  refused({{"schedule", "chunked"}, {"degree", "best"}}, "/degree");
  refused({{"schedule", "two_batch"}, {"degree", 2}}, "/degree");
  refused({{"schedule", "five_stage"}, {"attention_split", true}}, "/attention_split");
  refused({{"schedule", "two_batch"}, {"interference", "some"}}, "/interference");
  Json gathered = decode_base();
  gathered["policy"]["all_to_all"] = "allgather_reducescatter";
  CHECK_THROWS_WITH(simulation_of(of_schedule(gathered, "by_arrival")),
                    Catch::Contains("sends tokens to their experts"));
}
