#include "models/comm/comm_profile.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <nlohmann/json.hpp>

#include "sim/core/error.h"

namespace moesim {
namespace {

const std::string k_profiles = std::string(MOESIM_SOURCE_DIR) + "/models/comm/profiles";

CommProfile profile_of(const std::string& device, const std::string& architecture,
                       const std::string& algorithm, double efficiency) {
  CommProfile profile;
  profile.name = device;
  profile.device = device;
  profile.architecture = architecture;
  AllToAllFamily family;
  family.algorithm = algorithm;
  family.law.device_link_efficiency = efficiency;
  family.fit.tokens = {1, 128};
  profile.all_to_all.push_back(family);
  return profile;
}

nlohmann::json minimal() {
  return {{"device", "gpu"},
          {"architecture", "die"},
          {"device_link", "200 GB/s"},
          {"nic", "50 GB/s"},
          {"devices_per_node", 8},
          {"source", "test"},
          {"all_to_all",
           {{{"algorithm", "rank_dedup"},
             {"direction", "dispatch"},
             {"scope", "one_node"},
             {"law", {{"base", "10 us"}, {"device_link_efficiency", 0.5}}},
             {"fit",
              {{"source", "test"},
               {"date", "2026-11-22"},
               {"rows", 3},
               {"median_error", 0.1},
               {"p90_error", 0.2}}}}}}};
}

}  // namespace

TEST_CASE("the nearest profile answers and says how near it is", "[hardware][comm][unit]") {
  const std::vector<CommProfile> profiles{profile_of("a", "x", "rank_dedup", 0.1),
                                          profile_of("b", "y", "rank_dedup.one_sided", 0.2),
                                          profile_of("c", "y", "rank_dedup", 0.3)};
  const auto find = [&](const char* device, const char* architecture, const char* algorithm) {
    return find_all_to_all(profiles, {device, architecture}, algorithm, Direction::dispatch, false);
  };
  CHECK(find("c", "y", "rank_dedup").law.device_link_efficiency == 0.3);
  CHECK(find("c", "y", "rank_dedup").basis == CommBasis::calibrated);
  CHECK(find("d", "y", "rank_dedup").law.device_link_efficiency == 0.2);  // a variant, first name
  CHECK(find("d", "y", "rank_dedup").basis == CommBasis::transferred);
  CHECK(find("d", "z", "rank_dedup").profile == "a");
  CHECK(find("d", "z", "rank").basis == CommBasis::uncalibrated);  // a prefix is no variant
  CHECK(find("d", "z", "other").law.base == Seconds(10e-6));
  CHECK(find("d", "z", "other").law.nic_efficiency == 0.8);
  CHECK_FALSE(find("d", "z", "other").extrapolates(1'000'000, 7168, 4096));
  CHECK_FALSE(find("a", "x", "rank_dedup").extrapolates(128, 7168, 8));
  CHECK(find("a", "x", "rank_dedup").extrapolates(129, 7168, 8));
}

TEST_CASE("a collective is of the wanted library, or of the framework's",
          "[hardware][comm][unit]") {
  const auto with = [](const char* device, std::initializer_list<const char*> libraries) {
    CommProfile profile = profile_of(device, "x", "rank_dedup", 0.1);
    for (const char* library : libraries) {
      profile.collectives.push_back(
          {CollectiveOp::all_reduce, library, {{{Seconds(1e-6), Seconds(0.0), 1.0, 0.0}}}, {}});
    }
    return profile;
  };
  const std::vector<CommProfile> profiles{
      with("a", {"custom_allreduce/SGLang_graph", "custom_allreduce/TRTLLM", "nccl-2",
                 "custom_allreduce/SGLang_eager"}),
      with("b", {"custom_allreduce/vLLM", "nccl-3"}), with("c", {"custom_allreduce/vLLM"})};
  const auto library = [&](const char* device, std::vector<std::string> names,
                           const char* framework) {
    return choose_collective(profiles, {device, "x"}, CollectiveOp::all_reduce, names, framework)
        .library;
  };
  CHECK(library("a", {}, "trtllm") == "custom_allreduce/TRTLLM");
  CHECK(library("a", {}, "sglang") == "custom_allreduce/SGLang_graph");
  CHECK(library("a", {}, "infersim") == "nccl-2");
  CHECK(library("a", {}, "") == "nccl-2");
  // What was measured on the device goes before the framework's own on another one.
  CHECK(library("b", {}, "trtllm") == "nccl-3");
  CHECK(library("c", {}, "trtllm") == "custom_allreduce/vLLM");
  // A named library is taken where there is one, from whatever device.
  CHECK(library("a", {"nccl"}, "trtllm") == "nccl-2");
  CHECK(library("a", {"nccl-3"}, "trtllm") == "nccl-3");
  CHECK(library("a", {"custom_allreduce/sglang_EAGER"}, "") == "custom_allreduce/SGLang_eager");
  CHECK(library("a", {"nccl-9", "nccl"}, "trtllm") == "nccl-2");
  CHECK(library("a", {"mpi"}, "trtllm") == "custom_allreduce/TRTLLM");
  CHECK(choose_collective(profiles, {"a", "x"}, CollectiveOp::all_gather, {}, "trtllm").basis ==
        CommBasis::uncalibrated);
  CHECK(collective_libraries(profiles).size() == 6);
}

// Link alone: 1/0.5 = 2 times nominal. 4 SMs of 10 GB/s on a 200 GB/s link: 200/40 = 5 times. A
// norm of order 1 adds them: 7 times; of order 2: sqrt(29) times.
TEST_CASE("few SMs cap the device link", "[hardware][comm][unit]") {
  AllToAllLaw law;
  law.device_link_efficiency = 0.5;
  CHECK(law.effective_device_efficiency(Bandwidth(200e9)) == 0.5);
  law.sm_rate = Bandwidth(10e9);
  law.sms = 4;
  law.sharpness = 1.0;
  CHECK(law.effective_device_efficiency(Bandwidth(200e9)) == Approx(1.0 / 7.0));
  law.sharpness = 2.0;
  CHECK(law.effective_device_efficiency(Bandwidth(200e9)) == Approx(1.0 / std::sqrt(29.0)));
}

// 2 us + 8 ranks: 3 doublings of 1 us + 4 nodes: 2 doublings of 3 us + 256 experts of 10 ns + 1000
// values of 1 ns = 14.56 us. A
// crossing of 4 us + 100 tokens of 20 ns + as many of 60 ns over 2 SMs = 9 us, with a ramp of 1e-3
// sqrt(s) 3 us more. Two doublings of 5 us, 20 us and 100 tokens of 10 ns before that: 31 us.
TEST_CASE("time of an all-to-all", "[hardware][comm][unit]") {
  AllToAllLaw law;
  law.base = Seconds(2e-6);
  law.per_rank_doubling = Seconds(1e-6);
  law.per_node_doubling = Seconds(3e-6);
  law.per_expert = Seconds(10e-9);
  law.per_hidden = Seconds(1e-9);
  law.per_token = Seconds(20e-9);
  law.sm_per_token = Seconds(60e-9);
  law.sms = 2;
  law.ramp = 1e-3;
  const AllToAllSize size{.ranks = 8, .nodes = 4, .experts = 256, .tokens = 100, .hidden = 1000};
  CHECK(law.time(size, Seconds(4e-6)).si() == Approx(26.56e-6));
  law.notify = {Seconds(20e-6), Seconds(5e-6), Seconds(10e-9), 1, 0.0, 0.0};
  CHECK(law.notify.time(4, 100).si() == Approx(31e-6));
  CHECK(law.time(size, Seconds(4e-6)).si() == Approx(26.56e-6));
}

// Measured at 2 and 8 ranks; all-gather of 1 MB over 1 GB/s: x = 500 us at 2, 875 at 8, 750 at 4.
TEST_CASE("between measured rank counts, times interpolate at equal bytes per link",
          "[hardware][comm][unit]") {
  CollectiveLaw law;
  law.protocols = {{Seconds(10e-6), Seconds(5e-6), 1.0, 0.0}};
  law.curves = {{2, {100e-6, 400e-6}, {200e-6, 800e-6}}, {8, {100e-6, 1600e-6}, {400e-6, 1600e-6}}};
  const auto us = [&](int ranks, double link_us) {
    const Bytes bytes(link_us * 1e3 / link_volume(CollectiveOp::all_gather, ranks));
    return law.time(CollectiveOp::all_gather, ranks, bytes, Bandwidth(1e9)).si() * 1e6;
  };
  CHECK(us(2, 100) == Approx(200.0));
  CHECK(us(2, 200) == Approx(400.0));
  CHECK(us(8, 400) == Approx(800.0));
  CHECK(us(4, 400) == Approx(800.0));
  CHECK(us(4, 100) == Approx(std::sqrt(200.0 * 400.0)));
  // Beyond, as the form: 810 us at x = 800 and 2 ranks where it says 410 at 400.
  CHECK(us(2, 800) == Approx(800.0 * 810.0 / 410.0));
  CHECK(us(8, 50) == Approx(400.0 * (10 + 10 + 50) / (10 + 10 + 100)));
  // 16 ranks: one more doubling than 8.
  CHECK(us(16, 400) == Approx(805.0));
  law.protocols.front().base = Seconds(1.0);
  CHECK(us(4, 400) == Approx(800.0));
}

// Custom all-reduces were measured over links of the devices' own; boards in slots take what slots
// were measured to do, whatever the die.
TEST_CASE("boards in slots take a law of boards in slots", "[hardware][comm][unit]") {
  const auto profiles = load_comm_profiles({k_profiles});
  for (const char* architecture : {"gb202", "ad104", "gh100"}) {
    const CommTarget target{"new", architecture, Bandwidth(64e9)};
    const auto found = choose_collective(profiles, target, CollectiveOp::all_reduce, {}, "vllm");
    CAPTURE(architecture, found.library);
    CHECK(found.profile == "l40s");
  }
}

TEST_CASE("a collective's law is borrowed from the nearest generation", "[hardware][comm][unit]") {
  const auto profiles = load_comm_profiles({k_profiles});
  const CommTarget b300{"new", "gb110", Bandwidth(900e9)};
  const auto found =
      choose_collective(profiles, b300, CollectiveOp::all_gather, {}, "vllm").profile;
  CHECK((found == "b200_sxm" || found == "gb200"));
}

// A law may be used on a device that nobody measured: with faster links of its kind it is not
// slower.
TEST_CASE("better links never make a transferred law slower", "[hardware][comm][property]") {
  const auto profiles = load_comm_profiles({k_profiles});
  const bool in_slots = GENERATE(false, true);
  const std::vector<double> links =
      in_slots ? std::vector<double>{16e9, 32e9, 64e9, 99e9}
               : std::vector<double>{100e9, 160e9, 300e9, 450e9, 900e9, 3e12};
  int compared = 0;
  for (const char* architecture : {"gh100", "gb100", "ga100", "ad102", "unheard_of"}) {
    for (const double bytes : {1e3, 1e5, 1e6, 1e7, 1e8, 1e9}) {
      for (const int ranks : {2, 3, 4, 8, 16, 72}) {
        for (const CollectiveOp op : {CollectiveOp::all_reduce, CollectiveOp::all_gather,
                                      CollectiveOp::reduce_scatter, CollectiveOp::all_to_all}) {
          double slowest = 1e9;
          for (const double link : links) {
            const CommTarget target{"new", architecture, Bandwidth(link)};
            const auto found = choose_collective(profiles, target, op, {}, "vllm");
            const double s = found.law.time(op, ranks, Bytes(bytes), Bandwidth(link)).si();
            CAPTURE(architecture, bytes, ranks, name_of(op), link, found.profile, found.library);
            REQUIRE(s <= slowest * (1 + 1e-9));
            slowest = s;
            ++compared;
          }
        }
      }
    }
    for (const char* algorithm : {"deepep_low_latency", "deepep_normal", "rank_dedup"}) {
      for (const bool multi_node : {false, true}) {
        for (const double bytes : {1e4, 1e6, 1e8}) {
          double slowest = 1e9;
          for (const double link : links) {
            const CommTarget target{"new", architecture, Bandwidth(link)};
            const AllToAllLaw law =
                find_all_to_all(profiles, target, algorithm, Direction::dispatch, multi_node).law;
            const AllToAllSize size{.ranks = 8,
                                    .nodes = multi_node ? 4 : 1,
                                    .experts = 256,
                                    .tokens = 128,
                                    .hidden = 7168};
            const Seconds crossing = std::max(law.crossing(Bytes(bytes), Bandwidth(link), true),
                                              law.crossing(Bytes(bytes), Bandwidth(50e9), false));
            const double s = (law.time(size, crossing) + law.notify.time(4, 128)).si();
            CAPTURE(architecture, algorithm, multi_node, bytes, link);
            REQUIRE(s <= slowest * (1 + 1e-9));
            slowest = s;
            ++compared;
          }
        }
      }
    }
  }
  CHECK(compared > 2000);
}

// One protocol: its own time. All-reduce of 1 MB among 4 over 100 GB/s: x = 1.5 * 1 MB / B = 15 us;
// 5 + 2 * (2 - 1) + 15 / 0.5 = 37 us. Two equal protocols: 2^(-1/8) of that.
TEST_CASE("time of a symmetric collective", "[hardware][comm][unit]") {
  CollectiveLaw law;
  law.protocols = {{Seconds(5e-6), Seconds(2e-6), 0.5, 0.0}};
  const auto us = [&](CollectiveOp op, int ranks) {
    return law.time(op, ranks, Bytes(1e6), Bandwidth(100e9)).si() * 1e6;
  };
  CHECK(us(CollectiveOp::all_reduce, 4) == Approx(37.0));
  CHECK(us(CollectiveOp::all_gather, 4) == Approx(22.0));
  CHECK(us(CollectiveOp::all_gather, 1) == 0.0);
  law.protocols.push_back(law.protocols.front());
  CHECK(us(CollectiveOp::all_reduce, 4) == Approx(37.0 * std::pow(2.0, -0.125)));
  law.protocols = {{Seconds(5e-6), Seconds(0.0), 0.01, 0.0},
                   {Seconds(20e-6), Seconds(0.0), 0.8, 0.0}};
  CHECK(us(CollectiveOp::all_reduce, 4) < 20.0 + 15.0 / 0.8);  // faster than the better protocol
  CHECK(us(CollectiveOp::all_reduce, 4) > 0.99 * (20.0 + 15.0 / 0.8));
}

TEST_CASE("profiles survive writing and reading", "[hardware][comm][unit]") {
  const auto profiles = load_comm_profiles({k_profiles});
  REQUIRE(profiles.size() >= 6);
  for (const CommProfile& profile : profiles) {
    CAPTURE(profile.name);
    const nlohmann::json document = comm_profile_json(profile);
    const CommProfile again = parse_comm_profile(ConfigObject(document, "again#"), profile.name);
    CHECK(comm_profile_json(again) == document);
    CHECK(profile.name == profile.device + (profile.fabric.empty() ? "" : ".") + profile.fabric);
  }
}

TEST_CASE("a damaged profile names the place", "[hardware][comm][unit]") {
  const auto parse = [](const nlohmann::json& document) {
    return parse_comm_profile(ConfigObject(document, "p.json#"), "p");
  };
  CHECK(parse(minimal()).all_to_all.size() == 1);
  const auto broken = [&](const char* pointer, const nlohmann::json& value) {
    nlohmann::json document = minimal();
    document[nlohmann::json::json_pointer(pointer)] = value;
    return document;
  };
  CHECK_THROWS_WITH(parse(broken("/all_to_all/0/law/bsae", "1 us")),
                    Catch::Contains("p.json#/all_to_all/0/law/bsae"));
  CHECK_THROWS_WITH(parse(broken("/all_to_all/0/law/device_link_efficiency", 0)),
                    Catch::Contains("p.json#/all_to_all/0/law/device_link_efficiency"));
  CHECK_THROWS_WITH(parse(broken("/all_to_all/0/scope", "rack")), Catch::Contains("multi_node"));
  CHECK_THROWS_WITH(parse(broken("/all_to_all/0/fit/tokens", {5, 1})),
                    Catch::Contains("[smallest, largest]"));
  CHECK_THROWS_WITH(parse(broken("/all_to_all/0/law/sm_rate", "10 GB/s")),
                    Catch::Contains("p.json#/all_to_all/0/law/sms"));
  CHECK_THROWS_AS(parse(broken("/device_link", 200)), ConfigError);
}

// ln(1.0698) = 0.06745 is the median of |x| of a normal law with sigma 0.1.
TEST_CASE("standard errors come from held-out errors, else widened in-sample ones",
          "[hardware][comm][unit]") {
  CommFit fit;
  fit.rows = 100;
  fit.median_error = std::expm1(0.06745);
  CHECK(standard_error(fit, CommBasis::calibrated, false) == Approx(0.2));
  CHECK(standard_error(fit, CommBasis::calibrated, true) == Approx(0.4));
  CHECK(standard_error(fit, CommBasis::transferred, false) == Approx(0.4));
  CHECK(standard_error(fit, CommBasis::uncalibrated, false) == 0.5);
  fit.rows = 9;
  CHECK(standard_error(fit, CommBasis::calibrated, false) == Approx(0.4));
  fit.held_out = "nodes";
  fit.held_out_median_error = std::expm1(0.06745);
  fit.held_out_p90_error = std::expm1(0.3 * 1.645);  // a heavier tail decides
  CHECK(standard_error(fit, CommBasis::calibrated, false) == Approx(0.3));
  CHECK(standard_error(fit, CommBasis::calibrated, true) == Approx(0.6));
  CHECK(standard_error(fit, CommBasis::transferred, true) == Approx(0.6));
}

}  // namespace moesim
