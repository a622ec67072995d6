#include "calibrate/tables/comm_points.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace moesim {
namespace {

constexpr std::int64_t k_most_ranks = 1 << 16;
constexpr std::int64_t k_most_tokens = 1 << 24;
constexpr std::int64_t k_most_width = 1 << 20;
constexpr std::int64_t k_most_experts = 1 << 16;
constexpr std::int64_t k_most_sms = 1 << 12;

constexpr std::array<std::string_view, 16> k_columns{
    "hardware", "nic",    "gpus_per_node", "nodes",   "ranks", "backend",         "mode",
    "phase",    "hidden", "topk",          "experts", "dtype", "tokens_per_rank", "time_us",
    "bw_GBps",  "bw_kind"};

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

// "B300" -> "b300_sxm", "MI300X" -> "mi300x"; empty if no system is called so.
std::string device_of(const std::string& hardware, const std::vector<CommProfile>& systems) {
  const std::string word = lower(hardware.substr(0, hardware.find_first_of(" (")));
  for (const std::string& name : {word, word + "_sxm"}) {
    if (std::ranges::find(systems, name, &CommProfile::device) != systems.end()) {
      return name;
    }
  }
  return {};
}

// DeepEP on its own transport is the algorithm itself, others are variants of it.
std::string variant_of(const std::string& backend) {
  const std::string name = lower(backend);
  if (contains(name, "deepep") || contains(name, "nvshmem")) {
    return "";
  }
  return "." + name.substr(0, name.find_first_of(" -"));
}

// What a profile's fabric is called: that of NICs which are no InfiniBand or RoCE.
std::string fabric_of(const std::string& nic) { return contains(nic, "EFA") ? "efa" : ""; }

struct PointReader {
  const MeasuredTable& table;
  const std::vector<CommProfile>& systems;
  std::size_t i;

  [[nodiscard]] std::string text(std::string_view column) const { return table.text(i, column); }
  [[nodiscard]] bool told(std::string_view column) const { return !text(column).empty(); }

  // Of a token's copy as the benchmarks count it: values and scales, no headers.
  [[nodiscard]] static double counted_copy(const AllToAllRow& a) {
    const auto values = static_cast<double>(a.hidden);
    return a.direction == Direction::dispatch && a.dtype == "fp8" ? values * (1.0 + 4.0 / 128.0)
                                                                  : 2.0 * values;
  }

  // Copies of one rank's tokens that a bandwidth of this kind counts; 0: not known.
  [[nodiscard]] static double counted_copies(const std::string& kind, const AllToAllRow& a) {
    const auto tokens = static_cast<double>(a.tokens);
    const int used = std::min(a.nodes, k_top_nodes);
    const std::int64_t reachable = a.experts * used / a.nodes;
    if (contains(kind, "NVLink") && !contains(kind, "total")) {
      return tokens * expected_distinct(used * a.ranks / a.nodes, reachable, a.top_k);
    }
    if (contains(kind, "xGMI")) {
      return tokens * expected_distinct(used * a.ranks / a.nodes, reachable, a.top_k);
    }
    if (contains(kind, "total") || a.algorithm.starts_with("deepep_low_latency")) {
      return tokens * a.top_k;
    }
    if (contains(kind, "RDMA") || contains(kind, "scale-out logical (rounded)")) {
      return tokens * expected_distinct(used, reachable, a.top_k);
    }
    return 0.0;
  }

  static void volume(AllToAllRow& a) {
    const int per_node = a.ranks / a.nodes;
    const double payload = copy_bytes(a, a.dtype == "fp8" ? DType::fp8_block : DType::bf16);
    a.volume = a.algorithm.starts_with("deepep_low_latency")
                   ? busiest_low_latency_volume(a, per_node, payload)
                   : normal_volume(a, per_node, payload);
  }

  [[nodiscard]] std::string device() const { return device_of(text("hardware"), systems); }

  [[nodiscard]] MeasuredPoint read() const {
    MeasuredPoint point;
    table.cite(i, point.row);
    point.row.source = text("source");
    const std::string mode = text("mode");
    point.row.system = device();
    point.row.fabric = fabric_of(text("nic"));
    if (point.row.system.empty()) {
      point.skip = "no nominal rates for " + text("hardware");
      return point;
    }
    if (mode == "nccl a2a") {
      point.skip = "an all-to-all whose size is not told";
      return point;
    }
    if (mode != "HT" && mode != "LL" && mode != "V2") {
      point.skip = "unknown mode " + mode;
      return point;
    }
    if (!told("tokens_per_rank") || !told("hidden") || !told("topk") || !told("experts")) {
      point.skip = "tokens, width or experts are not told";
      return point;
    }
    AllToAllRow& a = point.row.all_to_all;
    a.algorithm = (mode == "HT"   ? "deepep_normal"
                   : mode == "LL" ? "deepep_low_latency"
                                  : "deepep_v2") +
                  variant_of(text("backend"));
    const std::string phase = text("phase");
    a.direction = phase == "combine" ? Direction::combine : Direction::dispatch;
    a.dtype = text("dtype").starts_with("fp8") ? "fp8" : "bfloat16";
    a.tokens = table.count(i, "tokens_per_rank", 1, k_most_tokens);
    a.hidden = table.count(i, "hidden", 1, k_most_width);
    a.nodes = table.small_count(i, "nodes", 1, k_most_ranks);
    a.ranks = table.small_count(i, "ranks", 2, k_most_ranks);
    a.experts = table.count(i, "experts", a.nodes, k_most_experts);
    a.top_k = table.small_count(i, "topk", 1, a.experts);
    if (a.ranks % a.nodes != 0) {
      table.csv().fail(i, table.csv().column("ranks"), "is no multiple of nodes");
    }
    if (table.csv().has("num_sms") && told("num_sms")) {
      a.sms = table.small_count(i, "num_sms", 1, k_most_sms);
    }
    volume(a);
    point.row.back = phase == "dispatch+combine";
    if (point.row.back) {
      AllToAllRow& combine = point.row.combine;
      combine = a;
      combine.direction = Direction::combine;
      combine.dtype = "bfloat16";
      volume(combine);
    } else if (phase != "dispatch" && phase != "combine") {
      point.skip = "unknown phase " + phase;
      return point;
    }
    point.row.group = "alltoall/" + phase + "/" + lower(text("backend")) + "-" + mode + "/" +
                      point.row.system + (point.row.fabric.empty() ? "" : "_") + point.row.fabric +
                      "/" + a.dtype;
    std::ranges::replace(point.row.group, ' ', '_');
    if (told("time_us")) {
      point.seconds = table.time(i, "time_us") * 1e-6;
      return point;
    }
    const double copies = counted_copies(text("bw_kind"), a);
    if (copies == 0.0 || point.row.back) {
      point.skip = "neither a time nor which bytes its bandwidth counts";
      return point;
    }
    point.seconds = copies * counted_copy(a) / (table.positive(i, "bw_GBps") * 1e9);
    return point;
  }
};

}  // namespace

bool is_point_header(std::string_view line) {
  std::string names = "," + std::string(line) + ",";
  std::erase(names, '\r');
  return std::ranges::all_of(k_columns, [&](std::string_view name) {
    return names.find("," + std::string(name) + ",") != std::string::npos;
  });
}

std::vector<MeasuredPoint> read_points(const MeasuredTable& table,
                                       const std::vector<CommProfile>& systems) {
  std::vector<MeasuredPoint> points;
  for (std::size_t i = 0; i < table.rows(); ++i) {
    points.push_back(PointReader{table, systems, i}.read());
  }
  return points;
}

}  // namespace moesim
