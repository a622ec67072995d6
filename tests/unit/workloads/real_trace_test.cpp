// The published routing data, where it is at hand.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <sstream>

#include "trace_support.h"
#include "workloads/trace/trace_tools.h"

namespace moesim {
namespace {

using namespace moesim::test;

const std::string k_traces = std::string(MOESIM_SHARED_DIR) + "/data/traces";
const std::string k_family = "moe_beyond_deepseek_v2_lite";

bool at_hand() {
  if (std::filesystem::exists(k_traces)) {
    return true;
  }
  WARN("skipped: no shared measurements beside the repository");
  return false;
}

using Key = std::string;  // statistic|layer|parameter

std::map<Key, double> measured() {
  std::map<Key, double> values;
  std::istringstream lines(read_text_file(k_traces + "/measured_routing_statistics.csv"));
  for (std::string line; std::getline(lines, line);) {
    std::vector<std::string> cells;
    std::istringstream row(line);
    for (std::string cell; std::getline(row, cell, ',');) {
      cells.push_back(cell);
    }
    if (cells.size() > 5 && cells[1].starts_with("DeepSeek")) {
      values[cells[0] + "|" + cells[3] + "|" + cells[4]] = std::stod(cells[5]);
    }
  }
  return values;
}

struct Deviation {
  double value;
  Key key;
};

// Sorted; every measured statistic must be there.
std::vector<Deviation> deviations(const std::vector<StatisticRow>& rows) {
  const auto expected = measured();
  std::vector<Deviation> found;
  for (const auto& row : rows) {
    const Key key = row.statistic + "|" + row.layer + "|" + row.parameter;
    if (const auto at = expected.find(key); at != expected.end()) {
      found.push_back({std::abs(row.value / at->second - 1.0), key});
    }
  }
  CHECK(found.size() == expected.size());
  std::ranges::sort(found, {}, &Deviation::value);
  return found;
}

bool drawn_at_random(const Key& key) {
  return key.starts_with("batch_load") || key.starts_with("distinct") ||
         key.starts_with("ep_rank") || key.find("andom") != Key::npos;
}

}  // namespace

TEST_CASE("statistics of the real trace are the measured ones", "[workloads][shared][slow]") {
  if (!at_hand()) {
    return;
  }
  const TempFolder folder;
  import_trace(k_family, k_traces + "/" + k_family, folder.file("r.moetrace"));
  CHECK(trace_info(folder.file("r.moetrace")).items == 138368);
  const auto all = deviations(trace_statistics(folder.file("r.moetrace"), 0, 2));
  for (const auto& [deviation, key] : all) {
    CAPTURE(key, deviation);
    // Four decimals are published; drawn batches differ by their noise (40 draws there).
    CHECK(deviation < (drawn_at_random(key) ? 0.10 : 0.0015));
  }
}

TEST_CASE("the DeepSeek-V2-Lite profile resembles the real trace", "[workloads][shared][slow]") {
  if (!at_hand()) {
    return;
  }
  const TempFolder folder;
  generate_trace("deepseek-v2-lite", {k_profiles}, 50000, 7, 2, folder.file("g.moetrace"));
  const auto all = deviations(trace_statistics(folder.file("g.moetrace"), 0, 2));
  CHECK(all[all.size() / 2].value < 0.08);
  CHECK(all[all.size() * 9 / 10].value < 0.28);
}

TEST_CASE("the other public traces import", "[workloads][shared]") {
  if (!at_hand()) {
    return;
  }
  const TempFolder folder;
  const std::string out = folder.file("x.moetrace");
  import_trace("fiddler_mixtral_popularity", k_traces + "/fiddler_mixtral_popularity", out);
  CHECK(trace_info(out).items == 10);
  CHECK(trace_statistics(out).size() == 32 * 4 + 1);
  import_trace("step_batches", k_traces + "/step_batches/qwen_b1024_iter022_layer016.csv", out);
  CHECK(trace_info(out).items == 1024);
  import_trace("vllm_layer0_route_logs",
               k_traces + "/vllm_layer0_route_logs/qwen15_moe_a27b_chat_layer0.csv", out);
  CHECK(trace_info(out).items == 2434);
}

}  // namespace moesim
