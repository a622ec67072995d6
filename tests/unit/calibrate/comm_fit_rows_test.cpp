// What rows of communication say without a law.
#include "calibrate/fit/comm_fit_rows.h"

#include <catch2/catch.hpp>

namespace moesim {
namespace {

CommRow between(int nodes, int sms, double nic_bytes, double seconds) {
  CommRow row;
  row.all_to_all.nodes = nodes;
  row.all_to_all.sms = sms;
  row.all_to_all.volume.nic_bytes = nic_bytes;
  row.seconds = seconds;
  return row;
}

RowPointers pointers(const std::vector<CommRow>& rows) {
  RowPointers all;
  for (const CommRow& row : rows) {
    all.push_back(&row);
  }
  return all;
}

CommRow collective(int ranks, double bytes, double seconds) {
  CommRow row;
  row.is_collective = true;
  row.collective = {CollectiveOp::all_gather, "test", ranks, bytes};
  row.seconds = seconds;
  return row;
}

}  // namespace

// Two nodes reach 40 GB/s; eight never pass 15: of theirs the first stays, which waits for no
// bytes. On two nodes with 24 SMs the largest falls to 20 GB/s after 40: it is erratic too; with 12
// SMs the same rate is what there is.
TEST_CASE("numbers of nodes and rows below what the fabric reaches are erratic",
          "[calibrate][unit]") {
  const std::vector<CommRow> rows{between(2, 24, 4e5, 30e-6),  between(2, 24, 4e7, 1e-3),
                                  between(2, 24, 8e7, 4e-3),   between(2, 12, 4e7, 2e-3),
                                  between(2, 12, 8e7, 4e-3),   between(8, 24, 4e5, 40e-6),
                                  between(8, 24, 1.5e7, 1e-3), between(8, 24, 3e7, 2e-3)};
  const RowPointers kept = without_erratic(pointers(rows));
  CHECK(kept == RowPointers{&rows[0], &rows[1], &rows[3], &rows[4], &rows[5]});
  const std::vector<CommRow> in_node{between(1, 24, 0.0, 1e-3), between(1, 24, 0.0, 9e-3)};
  CHECK(without_erratic(pointers(in_node)).size() == 2);
}

// 20 us + 10 us per doubling + 5 ns a token.
TEST_CASE("the notification is fitted to its own column", "[calibrate][unit]") {
  std::vector<CommRow> rows;
  for (const int nodes : {2, 4, 8}) {
    for (const std::int64_t tokens : {1, 100, 1000, 10000, 100000}) {
      CommRow row;
      row.all_to_all.nodes = nodes;
      row.all_to_all.tokens = tokens;
      row.all_to_all.notify_s = 20e-6 +
                                10e-6 * (nodes == 2   ? 1
                                         : nodes == 4 ? 2
                                                      : 3) +
                                5e-9 * static_cast<double>(tokens);
      rows.push_back(row);
    }
  }
  rows.push_back({});  // not told
  const NotifyLaw law = fit_notify(pointers(rows));
  CHECK(law.rows == 15);
  CHECK(law.base.si() == Approx(20e-6).epsilon(0.05));
  CHECK(law.per_node_doubling.si() == Approx(10e-6).epsilon(0.05));
  CHECK(law.per_token.si() == Approx(5e-9).epsilon(0.01));
  CHECK(law.p90_error < 0.01);
  CHECK(fit_notify({&rows.back()}).rows == 0);
}

// Repeats are averaged (2 and 8 us: 4), what descends is pooled (20 and 5 us: 10 both), and one row
// that is far off moves no others.
TEST_CASE("measured curves ascend", "[calibrate][unit]") {
  CommProfile system;
  system.device_link = Bandwidth(1e9);
  const std::vector<CommRow> rows{collective(2, 1000, 2e-6),   collective(2, 1000, 8e-6),
                                  collective(2, 2000, 20e-6),  collective(2, 4000, 5e-6),
                                  collective(8, 8000, 30e-6),  collective(8, 16000, 900e-6),
                                  collective(8, 32000, 40e-6), collective(8, 64000, 50e-6)};
  const auto curves = measured_curves(pointers(rows), system);
  REQUIRE(curves.size() == 2);
  CHECK(curves[0].ranks == 2);
  CHECK(curves[0].link_s[1] == Approx(1e-6));  // half of 2000 bytes at 1 GB/s
  CHECK(curves[0].time_s[0] == Approx(4e-6));
  CHECK(curves[0].time_s[1] == Approx(10e-6));
  CHECK(curves[0].time_s[2] == Approx(10e-6));
  CHECK(curves[1].link_s[0] == Approx(7e-6));
  CHECK(curves[1].time_s[0] == Approx(30e-6));
  CHECK(curves[1].time_s[3] < 60e-6);
}

}  // namespace moesim
