#include "calibrate/tables/comm_rows.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <map>
#include <optional>

#include "calibrate/tables/comm_points.h"
#include "calibrate/tables/comm_table.h"
#include "calibrate/tables/row_check.h"
#include "sim/core/csv.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

namespace fs = std::filesystem;

// More than any machine has, and little enough for every product of two.
constexpr std::int64_t k_most_ranks = 1 << 16;
constexpr std::int64_t k_most_nodes = 1 << 14;
constexpr std::int64_t k_most_sms = 1 << 12;
constexpr std::int64_t k_most_tokens = 1 << 24;
constexpr std::int64_t k_most_width = 1 << 20;
constexpr std::int64_t k_most_experts = 1 << 16;
constexpr std::int64_t k_most_elements = std::int64_t{1} << 40;

std::string joined_by_slash(std::initializer_list<std::string_view> parts) {
  std::string name;
  for (const std::string_view part : parts) {
    name.append(name.empty() ? "" : "/").append(part);
  }
  return name;
}

// "deepep_ll__sglang-0.5.12" -> "sglang-0.5.12"; "nccl-2.27.3" stays.
std::string framework_of(const std::string& stem) {
  const auto at = stem.find("__");
  return at == std::string::npos ? stem : stem.substr(at + 2);
}

// The first line that is no comment.
bool has_point_header(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line) && line.starts_with('#')) {
  }
  return is_point_header(line);
}

struct Reader {
  const std::vector<CommProfile>* systems;
  CommRows result;
  std::optional<TimeCheck> times = {};  // of the table that is read

  void skip(const std::string& reason) {
    const auto found =
        std::ranges::find(result.skipped, reason, &std::pair<std::string, std::int64_t>::first);
    if (found == result.skipped.end()) {
      result.skipped.emplace_back(reason, 1);
    } else {
      ++found->second;
    }
  }

  [[nodiscard]] const CommProfile* system(const std::string& device) const {
    const auto found = std::ranges::find(*systems, device, &CommProfile::device);
    return found == systems->end() ? nullptr : &*found;
  }

  // `i`: the table's row.
  void add(std::size_t i, CommRow row, double seconds) {
    ++result.read;
    const CommProfile* known = system_of(row, *systems);
    if (!(seconds > 0.0)) {
      skip("time is not positive");
    } else if (known == nullptr) {
      skip("no nominal rates for system " + row.system +
           (row.fabric.empty() ? "" : " on " + row.fabric));
    } else {
      times->add(i, seconds, ideal_seconds(row, *known));
      row.seconds = seconds;
      result.rows.push_back(std::move(row));
    }
  }

  void nccl(const MeasuredTable& table, const std::string& stem, const std::string& device);
  void custom_allreduce(const MeasuredTable& table, const std::string& stem,
                        const std::string& device);
  void deepep(const MeasuredTable& table, const std::string& stem, const std::string& device);
  void alltoall(const MeasuredTable& table, const std::string& stem, const std::string& device);
  void published_low_latency(const MeasuredTable& table, const std::string& device);
  void published_normal(const MeasuredTable& table, const std::string& device);
  void file(const fs::path& path);
  void points(const MeasuredTable& table);
  void rows_of(const MeasuredTable& measured, const std::string& stem, const std::string& device);
  void add_all_to_all(std::size_t i, CommRow row, const std::string& group, double seconds);
};

void Reader::nccl(const MeasuredTable& table, const std::string& stem, const std::string& device) {
  const std::map<std::string, CollectiveOp> ops{{"all_reduce", CollectiveOp::all_reduce},
                                                {"all_gather", CollectiveOp::all_gather},
                                                {"reduce_scatter", CollectiveOp::reduce_scatter},
                                                {"alltoall", CollectiveOp::all_to_all}};
  for (std::size_t i = 0; i < table.rows(); ++i) {
    const std::string name = table.text(i, "op_name");
    const std::string dtype = table.text(i, "nccl_dtype");
    const auto op = ops.find(name);
    if (op == ops.end() || (dtype != "half" && dtype != "int8")) {
      ++result.read;
      skip(joined_by_slash({"unknown operation or format " + name, dtype}));
      continue;
    }
    CommRow row;
    row.group = joined_by_slash({"nccl_" + name, stem, device, dtype});
    row.system = device;
    table.cite(i, row);
    row.is_collective = true;
    const auto elements =
        static_cast<double>(table.count(i, "message_elements", 1, k_most_elements));
    // Sums of bytes take other instructions than sums of halves.
    const bool sums =
        op->second == CollectiveOp::all_reduce || op->second == CollectiveOp::reduce_scatter;
    const std::string library =
        sums && dtype == "int8" ? "nccl_int8" + stem.substr(std::string_view("nccl").size()) : stem;
    row.collective = {op->second, library, table.small_count(i, "num_gpus", 2, k_most_ranks),
                      elements * (dtype == "half" ? 2.0 : 1.0)};
    add(i, row, table.time(i, "latency_ms") * 1e-3);
  }
}

void Reader::custom_allreduce(const MeasuredTable& table, const std::string& stem,
                              const std::string& device) {
  for (std::size_t i = 0; i < table.rows(); ++i) {
    const std::string kernel = table.text(i, "kernel_source");
    CommRow row;
    row.group = joined_by_slash({"custom_allreduce", framework_of(stem), device, kernel});
    row.system = device;
    table.cite(i, row);
    row.is_collective = true;
    row.collective = {
        CollectiveOp::all_reduce, "custom_allreduce/" + kernel,
        table.small_count(i, "num_gpus", 2, k_most_ranks),
        2.0 * static_cast<double>(table.count(i, "message_elements", 1, k_most_elements))};
    add(i, row, table.time(i, "latency_ms") * 1e-3);
  }
}

void Reader::add_all_to_all(std::size_t i, CommRow row, const std::string& group, double seconds) {
  const CommProfile* profile = system(row.system);
  AllToAllRow& a = row.all_to_all;
  row.group = joined_by_slash(
      {group, row.system, a.direction == Direction::dispatch ? a.dtype : "bfloat16"});
  if (profile != nullptr) {
    const int n = std::min(profile->devices_per_node, a.ranks);
    const double payload = copy_bytes(a, a.dtype == "fp8" ? DType::fp8_block : DType::bf16);
    a.volume = a.algorithm == "deepep_low_latency" ? busiest_low_latency_volume(a, n, payload)
                                                   : normal_volume(a, n, payload);
  }
  add(i, std::move(row), seconds);
}

CommRow deepep_row(const MeasuredTable& table, std::size_t i, const std::string& device,
                   Direction direction, int devices_per_node) {
  CommRow row;
  row.system = device;
  table.cite(i, row);
  AllToAllRow& a = row.all_to_all;
  a.direction = direction;
  a.dtype = "fp8";
  a.tokens = table.count(i, "num_token", 1, k_most_tokens);
  a.hidden = table.count(i, "hidden_size", 1, k_most_width);
  a.nodes = table.small_count(i, "node_num", 1, k_most_nodes);
  a.experts = table.count(i, "num_experts", a.nodes, k_most_experts);  // each node has some
  a.top_k = table.small_count(i, "num_topk", 1, a.experts);
  a.ranks = a.nodes * devices_per_node;
  return row;
}

void Reader::deepep(const MeasuredTable& table, const std::string& stem,
                    const std::string& device) {
  const bool normal = stem.starts_with("deepep_normal");
  const CommProfile* profile = system(device);
  const int devices_per_node = profile == nullptr ? 1 : profile->devices_per_node;
  for (std::size_t i = 0; i < table.rows(); ++i) {
    for (const Direction direction : {Direction::dispatch, Direction::combine}) {
      const std::string side(name_of(direction));
      CommRow row = deepep_row(table, i, device, direction, devices_per_node);
      AllToAllRow& a = row.all_to_all;
      a.algorithm = normal ? "deepep_normal" : "deepep_low_latency";
      a.sms = normal ? table.small_count(i, side + "_sms", 1, k_most_sms) : 0;
      const double us = table.time(i, side + (normal ? "_transmit_us" : "_avg_t_us"));
      a.notify_s = normal ? table.time(i, side + "_notify_us") * 1e-6 : 0.0;
      std::string group =
          joined_by_slash({(normal ? "deepep_normal_" : "deepep_ll_") + side, framework_of(stem)});
      if (a.nodes > 1) {
        group += "/" + std::to_string(a.nodes) + "_nodes";
      }
      add_all_to_all(i, row, group, us * 1e-6);
    }
  }
}

void Reader::alltoall(const MeasuredTable& table, const std::string& stem,
                      const std::string& device) {
  const std::map<std::string, std::pair<Direction, std::string>> ops{
      {"alltoall_dispatch", {Direction::dispatch, ""}},
      {"alltoall_combine", {Direction::combine, ""}},
      {"alltoall_prepare", {Direction::dispatch, ".prepare"}},
      {"alltoall_combine_low_precision", {Direction::combine, ".low_precision"}}};
  for (std::size_t i = 0; i < table.rows(); ++i) {
    const std::string name = table.text(i, "op_name");
    const auto op = ops.find(name);
    if (op == ops.end()) {
      ++result.read;
      skip("unknown operation " + name);
      continue;
    }
    const std::string kernel = table.text(i, "kernel_source");
    CommRow row;
    row.system = device;
    table.cite(i, row);
    AllToAllRow& a = row.all_to_all;
    a.algorithm = "rank_dedup." + kernel + op->second.second;
    a.direction = op->second.first;
    a.dtype = table.text(i, "moe_dtype");
    a.tokens = table.count(i, "num_tokens", 1, k_most_tokens);
    a.hidden = table.count(i, "hidden_size", 1, k_most_width);
    a.experts = table.count(i, "num_experts", 1, k_most_experts);
    a.top_k = table.small_count(i, "topk", 1, a.experts);
    a.ranks = table.small_count(i, "moe_ep_size", 2, k_most_ranks);
    // Balanced routing strides over all ranks. 8-bit formats travel without scales here; 4-bit
    // ones with a scale byte per 16 values.
    const double bits = a.direction == Direction::combine ? 16.0
                        : a.dtype == "fp8"                ? 8.0
                        : a.dtype == "nvfp4"              ? 4.5
                                                          : 16.0;
    const double remote = std::min(a.ranks, a.top_k) * static_cast<double>(a.ranks - 1) / a.ranks;
    const double copy = op->second.second == ".prepare"
                            ? 12.0 * a.top_k
                            : static_cast<double>(a.hidden) * bits / 8.0;
    a.volume.device_bytes = static_cast<double>(a.tokens) * remote * copy;
    row.group = joined_by_slash({"alltoall", name, framework_of(stem), device, a.dtype, kernel});
    add(i, row, table.time(i, "latency_ms") * 1e-3);
  }
}

// The published tables state their conditions in words: hidden 7168, top-8 of 256 experts, FP8
// dispatch, BF16 combine.
AllToAllRow published_row(const std::string& algorithm, Direction direction, int ranks, int node) {
  AllToAllRow a;
  a.algorithm = algorithm;
  a.direction = direction;
  a.dtype = "fp8";
  a.hidden = 7168;
  a.experts = 256;
  a.top_k = 8;
  a.ranks = ranks;
  a.nodes = std::max(1, ranks / node);
  return a;
}

void Reader::published_low_latency(const MeasuredTable& table, const std::string& device) {
  const CommProfile* profile = system(device);
  for (std::size_t i = 0; i < table.rows(); ++i) {
    for (const Direction direction : {Direction::dispatch, Direction::combine}) {
      const std::string side(name_of(direction));
      CommRow row;
      row.system = device;
      table.cite(i, row);
      row.all_to_all = published_row("deepep_low_latency", direction,
                                     table.small_count(i, "ep_ranks", 2, k_most_ranks),
                                     profile == nullptr ? 1 : profile->devices_per_node);
      row.all_to_all.tokens = 128;
      add_all_to_all(i, row, "deepep_ll_" + side + "/published",
                     table.time(i, side + "_us") * 1e-6);
    }
  }
}

// Bandwidths of the normal kernels count the bytes of all (token, rank) pairs within a node and of
// all (token, node) pairs between nodes, the own ones included.
void Reader::published_normal(const MeasuredTable& table, const std::string& device) {
  const CommProfile* profile = system(device);
  for (std::size_t i = 0; i < table.rows(); ++i) {
    for (const Direction direction : {Direction::dispatch, Direction::combine}) {
      const std::string side(name_of(direction));
      CommRow row;
      row.system = device;
      table.cite(i, row);
      const int node = profile == nullptr ? 1 : profile->devices_per_node;
      row.all_to_all = published_row("deepep_normal", direction,
                                     table.small_count(i, "ep_ranks", 2, k_most_ranks), node);
      AllToAllRow& a = row.all_to_all;
      a.tokens = 4096;
      a.sms = 24;
      const int used_nodes = std::min(a.nodes, k_top_nodes);
      const double copies =
          a.nodes == 1 ? expected_distinct(a.ranks, a.experts, a.top_k)
                       : expected_distinct(used_nodes, a.experts * used_nodes / a.nodes, a.top_k);
      const double copy = static_cast<double>(a.hidden) *
                          (direction == Direction::dispatch ? 1.0 + 4.0 / 128.0 : 2.0);
      add_all_to_all(i, row, "deepep_normal_" + side + "/published",
                     static_cast<double>(a.tokens) * copies * copy /
                         (table.positive(i, side + "_GBps") * 1e9));
    }
  }
}

void Reader::file(const fs::path& path) {
  const std::string stem = path.stem().string();
  constexpr std::string_view published = "deepep_v1_";
  constexpr std::array<std::string_view, 6> known{
      "nccl-", "custom_allreduce__", "deepep_ll", "deepep_normal", "alltoall__", published};
  if (std::ranges::none_of(known,
                           [&](std::string_view prefix) { return stem.starts_with(prefix); })) {
    if (has_point_header(path)) {
      const MeasuredTable measured(path);
      times.emplace(measured.csv());
      points(measured);
      times->finish();
    }
    return;
  }
  std::string device = fs::canonical(path).parent_path().filename().string();
  if (stem.starts_with(published)) {
    const std::string rest = stem.substr(published.size());
    device = rest.substr(0, rest.find('_')) + "_sxm";
  }
  const MeasuredTable measured(path);
  times.emplace(measured.csv());
  rows_of(measured, stem, device);
  times->finish();
}

void Reader::points(const MeasuredTable& table) {
  std::vector<MeasuredPoint> points = read_points(table, *systems);
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (points[i].skip.empty()) {
      add(i, std::move(points[i].row), points[i].seconds);
    } else {
      ++result.read;
      skip(points[i].skip);
    }
  }
}

void Reader::rows_of(const MeasuredTable& measured, const std::string& stem,
                     const std::string& device) {
  if (stem.starts_with("nccl-")) {
    nccl(measured, stem, device);
  } else if (stem.starts_with("custom_allreduce__")) {
    custom_allreduce(measured, stem, device);
  } else if (stem.starts_with("deepep_ll") || stem.starts_with("deepep_normal")) {
    deepep(measured, stem, device);
  } else if (stem.starts_with("alltoall__")) {
    alltoall(measured, stem, device);
  } else if (stem.ends_with("_lowlatency")) {
    published_low_latency(measured, device);
  } else if (stem.ends_with("_normal")) {
    published_normal(measured, device);
  }
}

}  // namespace

CommRows read_comm_rows(const std::string& directory, const std::vector<CommProfile>& systems) {
  if (!fs::is_directory(directory)) {
    throw ConfigError(directory, "is not a directory; give one with measured tables");
  }
  std::vector<fs::path> paths;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file() && entry.path().extension() == ".csv") {
      paths.push_back(entry.path());
    }
  }
  std::ranges::sort(paths);
  Reader reader;
  reader.systems = &systems;
  for (const fs::path& path : paths) {
    reader.file(path);
  }
  return std::move(reader.result);
}

}  // namespace moesim
