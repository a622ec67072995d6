// Measured communication, as rows that the laws of models/comm/comm_profile.h can be fitted to and
// judged on. Expected bytes assume uniform random top-k routing (the benchmarks' generator), and,
// for DeepEP's normal kernels between nodes, that a token's experts lie in at most 4 nodes.
#pragma once

#include <string>
#include <vector>

#include "models/comm/comm_profile.h"

namespace moesim {

// DeepEP's benchmark: a token's experts lie in at most 4 nodes.
inline constexpr int k_top_nodes = 4;

// Bytes of one rank over one direction of its links.
struct AllToAllVolume {
  double device_bytes = 0.0;
  double nic_bytes = 0.0;
  double stream_bytes = 0.0;  // of one source for one expert, in the mean
};

struct AllToAllRow {
  std::string algorithm;
  Direction direction = Direction::dispatch;
  std::string dtype;
  std::int64_t tokens = 0;
  std::int64_t hidden = 0;
  std::int64_t experts = 0;
  int top_k = 0;
  int ranks = 1;
  int nodes = 1;
  int sms = 0;
  double notify_s = 0.0;  // before the rows move, not part of their time; 0: not told
  AllToAllVolume volume;
};

struct CollectiveRow {
  CollectiveOp op = CollectiveOp::all_reduce;
  std::string library;
  int ranks = 1;
  double bytes = 0.0;
};

// Exactly one of the two kinds is meant.
struct CommRow {
  std::string group;   // validation group, "deepep_ll_dispatch/sglang-0.5.12/h100_sxm/fp8"
  std::string system;  // "h100_sxm"
  std::string fabric;  // of its NICs, as CommProfile::fabric
  std::string source;
  std::string file;
  std::int64_t line = 0;
  bool is_collective = false;
  AllToAllRow all_to_all;
  AllToAllRow combine;  // that `seconds` holds too, if `back`
  bool back = false;
  CollectiveRow collective;
  double seconds = 0.0;
};

struct CommRows {
  std::vector<CommRow> rows;
  std::int64_t read = 0;
  std::vector<std::pair<std::string, std::int64_t>> skipped;  // reason, rows
};

// Searches the directory downwards for points that others published, known by their header
// (comm_points.h), and for the tables it knows by name: nccl-*, custom_allreduce__*,
// deepep_{ll,normal}*, alltoall__*, and the published deepep_v1_<gpu>_{lowlatency,normal}. The
// system is the folder's name. A table row with two measurements (dispatch and combine) counts
// twice. Throws ConfigError for damaged tables and for directories that do not exist.
CommRows read_comm_rows(const std::string& directory, const std::vector<CommProfile>& systems);

// The profile whose nominal rates a row refers to; nullptr: none.
const CommProfile* system_of(const CommRow& row, const std::vector<CommProfile>& systems);

// A token's copy in the engine's exchange: headers included.
double copy_bytes(const AllToAllRow& row, DType dispatch);

// By nominal link rates alone.
double ideal_seconds(const CommRow& row, const CommProfile& system);

// Mean number of `bins` equal bins of n items that k different random items fall into.
double expected_distinct(int bins, std::int64_t items, int picks);

// Mean volumes of a rank; `payload`: bytes of a token copy.
AllToAllVolume low_latency_volume(const AllToAllRow& row, int devices_per_node, double payload);
// That of the rank that receives most, on average over routings: all wait for it.
AllToAllVolume busiest_low_latency_volume(const AllToAllRow& row, int devices_per_node,
                                          double payload);
AllToAllVolume normal_volume(const AllToAllRow& row, int devices_per_node, double payload);

}  // namespace moesim
