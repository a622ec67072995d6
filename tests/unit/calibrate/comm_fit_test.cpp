#include "calibrate/fit/comm_fit.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "hardware/topology.h"
#include "sim/core/error.h"
#include "sim/core/output_file.h"
#include "sim/engine/exchange/all_to_all_links.h"

namespace moesim {
namespace {

const std::string k_profiles = std::string(MOESIM_SOURCE_DIR) + "/models/comm/profiles";
const std::string k_measured = std::string(MOESIM_SHARED_DIR) + "/data/measured";

}  // namespace

// 8 of 256 experts on 8 ranks of 32: a rank is missed with C(224,8)/C(256,8) = 0.33817, so
// 8 * 0.66183 = 5.2947 ranks are hit. All experts picked: every bin. One bin: one.
TEST_CASE("expected number of distinct ranks", "[calibrate][unit]") {
  CHECK(expected_distinct(8, 256, 8) == Approx(5.2947).epsilon(1e-4));
  CHECK(expected_distinct(4, 8, 8) == Approx(4.0));
  CHECK(expected_distinct(1, 256, 8) == Approx(1.0));
  CHECK(expected_distinct(256, 256, 8) == Approx(8.0));
}

// 16 ranks on 2 nodes, 128 tokens, top-8, 1000 bytes: 1,024,000 bytes, of which 7/16 go to the
// other ranks of the node and 8/16 to the other node; an expert of 256 gets 1/256 of them from
// each.
TEST_CASE("volumes of the low-latency kernels", "[calibrate][unit]") {
  AllToAllRow row;
  row.tokens = 128;
  row.top_k = 8;
  row.experts = 256;
  row.ranks = 16;
  row.nodes = 2;
  const AllToAllVolume volume = low_latency_volume(row, 8, 1000.0);
  CHECK(volume.device_bytes == Approx(448'000.0));
  CHECK(volume.nic_bytes == Approx(512'000.0));
  CHECK(volume.stream_bytes == Approx(4'000.0));
}

// The mean of the largest of 16 standard normals is 1.766 (tables of order statistics). A token's 8
// of 256 experts are on a rank of 16 with variance 8/16 15/16 248/255 = 0.45588; 7 ranks x 128
// tokens: 20.211 deviations, so the busiest rank gets 35,700 bytes more from its node.
TEST_CASE("the rank that receives most has more than the mean", "[calibrate][unit]") {
  AllToAllRow row;
  row.tokens = 128;
  row.top_k = 8;
  row.experts = 256;
  row.ranks = 16;
  row.nodes = 2;
  const AllToAllVolume mean = low_latency_volume(row, 8, 1000.0);
  const AllToAllVolume most = busiest_low_latency_volume(row, 8, 1000.0);
  CHECK(most.device_bytes - mean.device_bytes == Approx(35'693.0).epsilon(0.01));
  CHECK(most.nic_bytes - mean.nic_bytes == Approx(35'693.0 * std::sqrt(8.0 / 7.0)).epsilon(0.01));
  CHECK(most.stream_bytes == mean.stream_bytes);
  row.ranks = 8;
  row.nodes = 1;
  CHECK(busiest_low_latency_volume(row, 8, 1000.0).nic_bytes == 0.0);
}

// DeepEP's table for H800 (docs/legacy.md: 128 tokens, hidden 7168, top-8) has rows for EP 32 and
// 128 too, which are not in the fitted table: 155/273 and 192/369 us. Within 10 %.
TEST_CASE("the H800 profile predicts rows that it was not fitted on", "[calibrate][unit]") {
  const auto profiles = load_comm_profiles({k_profiles});
  const CommProfile& h800 = *std::ranges::find(profiles, "h800_sxm", &CommProfile::device);
  const std::map<std::pair<Direction, int>, double> published_us{
      {{Direction::dispatch, 32}, 155.0},
      {{Direction::dispatch, 128}, 192.0},
      {{Direction::combine, 32}, 273.0},
      {{Direction::combine, 128}, 369.0}};
  for (const Direction direction : {Direction::dispatch, Direction::combine}) {
    const auto found =
        find_all_to_all(profiles, {"h800_sxm", "gh100"}, "deepep_low_latency", direction, true);
    REQUIRE(found.basis == CommBasis::calibrated);
    for (const int ranks : {32, 128}) {
      AllToAllRow row;
      row.tokens = 128;
      row.top_k = 8;
      row.experts = 256;
      row.ranks = ranks;
      row.nodes = ranks / 8;
      row.volume =
          busiest_low_latency_volume(row, 8, direction == Direction::dispatch ? 7408.0 : 14336.0);
      const double us = predicted_seconds(found.law, row, h800) * 1e6;
      CAPTURE(name_of(direction), ranks, us);
      CHECK(us == Approx(published_us.at({direction, ranks})).epsilon(0.1));
      CHECK_FALSE(found.extrapolates(128, 7168, ranks));
      CHECK(found.extrapolates(64, 7168, ranks));
    }
  }
}

// Every rank of a node sends every expert the same number of its tokens: the engine's exchange,
// alone, takes what a measured row of that volume is judged by.
TEST_CASE("validation and engine have one law of the all-to-all", "[calibrate][property]") {
  const auto profiles = load_comm_profiles({k_profiles});
  const CommProfile& h100 = *std::ranges::find(profiles, "h100_sxm", &CommProfile::device);
  const std::string algorithm = GENERATE("deepep_low_latency", "expert_copies");
  const int nodes = GENERATE(1, 2);
  const int ranks = 8 * nodes;
  const int experts = 4 * ranks;
  const std::int32_t each = 3;  // tokens of a rank for an expert
  Cluster cluster;
  cluster.nodes = nodes;
  cluster.node.devices = 8;
  cluster.node.interconnect = NodeInterconnect::nvswitch;
  cluster.node.device_link = {"nvlink", h100.device_link, Seconds(0.0), 0.0};
  cluster.node.nics = 8;
  cluster.node.nic_link = {"ib", h100.nic, Seconds(0.0), 0.0};
  cluster.fabric.kind = nodes > 1 ? FabricKind::leaf_spine : FabricKind::none;
  const Topology topology(cluster);
  const CommTarget target{.device = "h100_sxm", .architecture = "gh100"};
  const AllToAllSpec spec{
      .algorithm = algorithm,
      .payload = {.hidden = 7168, .top_k = 8, .dispatch = DType::bf16, .combine = DType::bf16},
      .slots = experts,
      .link_rate = Bandwidth(0.0),
      .lanes = {}};
  AllToAllLowering lowering(topology, profiles, target, spec, "test");
  LayerTraffic traffic;
  traffic.load.assign(static_cast<std::size_t>(ranks), {.pairs = 4 * ranks * each,
                                                        .touched_experts = 4,
                                                        .tiles_64 = 4,
                                                        .tiles_128 = 4,
                                                        .busiest = ranks * each});
  traffic.pairs.reset({ranks, 8});
  for (int from = 0; from < ranks; ++from) {
    for (int to = 0; to < ranks; ++to) {
      traffic.pairs.add(from, to, 4 * each);
    }
  }
  const std::int64_t tokens = experts * each / 8;
  const TokenLayout layout = even_layout(ranks, tokens);
  CollectiveCost costs[2];
  lowering.lower({.layout = &layout, .traffic = &traffic}, costs[0], costs[1]);
  for (const Direction direction : {Direction::dispatch, Direction::combine}) {
    const CollectiveCost& cost = costs[static_cast<int>(direction)];
    double engine = 0.0;
    for (const LinkLoad& load : cost.loads) {
      const auto link = static_cast<std::size_t>(load.link);
      engine = std::max(engine, load.bytes / topology.links()[link].bandwidth.si());
    }
    engine += cost.latency.si();
    AllToAllRow row;
    row.algorithm = algorithm;
    row.direction = direction;
    row.tokens = tokens;
    row.hidden = 7168;
    row.experts = experts;
    row.top_k = 8;
    row.ranks = ranks;
    row.nodes = nodes;
    const Bytes payload = direction == Direction::dispatch
                              ? lowering.algorithm().dispatch_bytes(spec.payload)
                              : lowering.algorithm().combine_bytes(spec.payload);
    row.volume = low_latency_volume(row, 8, payload.si());
    CAPTURE(algorithm, nodes, name_of(direction));
    CHECK(predicted_seconds(lowering.law(direction).law, row, h100) ==
          Approx(engine).epsilon(1e-12));
  }
}

// The default all-reduce is one of captured graphs: 2 ranks, 2 KiB take microseconds; launched
// eagerly they take 20 to 40.
TEST_CASE("the default all-reduce has no launch overhead", "[calibrate][unit]") {
  const auto profiles = load_comm_profiles({k_profiles});
  for (const char* device : {"h100_sxm", "h800_sxm", "a100_sxm", "b200_sxm"}) {
    CAPTURE(device);
    const auto found =
        choose_collective(profiles, {device, "gh100"}, CollectiveOp::all_reduce, {}, "vllm");
    CHECK(found.basis != CommBasis::uncalibrated);
    CHECK(found.law.time(CollectiveOp::all_reduce, 2, Bytes(2048), Bandwidth(450e9)) <
          Seconds(12e-6));
  }
}

// `moesim calibrate fit DIR --comm-out models/comm/profiles --date DATE` writes them.
TEST_CASE("shipped profiles are what the fit gives", "[calibrate][shared][large]") {
  if (!std::filesystem::exists(k_measured)) {
    WARN("skipped: no measured tables here");
    return;
  }
  const auto shipped = load_comm_profiles({k_profiles});
  const auto fitted = fit_comm(k_measured, shipped, "");
  CHECK(fitted.size() == 9);
  for (const CommProfile& fit : fitted) {
    CAPTURE(fit.name);
    const CommProfile& one = *std::ranges::find(shipped, fit.name, &CommProfile::name);
    const nlohmann::json document = comm_profile_json(fit);
    const auto again = parse_comm_profile(ConfigObject(document, "fitted#"), fit.name);
    REQUIRE(again.all_to_all.size() == one.all_to_all.size());
    REQUIRE(again.collectives.size() == one.collectives.size());
    for (std::size_t f = 0; f < again.all_to_all.size(); ++f) {
      CHECK(again.all_to_all[f].law.base.si() ==
            Approx(one.all_to_all[f].law.base.si()).epsilon(1e-3));
      CHECK(again.all_to_all[f].fit.median_error ==
            Approx(one.all_to_all[f].fit.median_error).margin(1e-3));
    }
    for (std::size_t f = 0; f < again.collectives.size(); ++f) {
      CHECK(again.collectives[f].fit.median_error ==
            Approx(one.collectives[f].fit.median_error).margin(1e-3));
    }
  }
}

TEST_CASE("validation accounts for every row", "[calibrate][shared]") {
  if (!std::filesystem::exists(k_measured)) {
    WARN("skipped: no measured tables here");
    return;
  }
  std::map<std::string, std::int64_t> seen;
  std::int64_t placed = 0;
  const auto validation = validate_collectives(
      k_measured, load_comm_profiles({k_profiles}), [&](const JudgedPoint& point) {
        ++seen[std::string(point.group)];
        placed += point.file.ends_with(".csv") && point.line > 1 && point.sigma > 0 &&
                          point.dims.size() == point.dim_names.size()
                      ? 1
                      : 0;
      });
  std::int64_t accounted = 0;
  std::string table;
  for (const CommGroup& g : validation.groups) {
    accounted += g.n;
    placed -= g.n;
    CHECK(seen[g.name] == g.n);
    CHECK((g.inside_p10_p90 > 0.4 || g.n < 10));
    table += g.name + " n " + std::to_string(g.n) + " median " + std::to_string(g.median_ape) +
             " p90 " + std::to_string(g.p90_ape) + " signed " +
             std::to_string(g.mean_signed_error) + " naive " + std::to_string(g.naive_median_ape) +
             "\n";
  }
  for (const auto& [reason, n] : validation.skipped) {
    accounted += n;
    table += "skipped " + std::to_string(n) + ": " + reason + "\n";
  }
  INFO(table);
  CHECK(placed == 0);
  CHECK(accounted == validation.rows_read);
  CHECK(validation.rows_read > 10000);
}

}  // namespace moesim
