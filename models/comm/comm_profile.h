// Communication profiles: how far a library's collectives stay from the nominal link rates, fitted
// to measurements. Laws only; who sends how much where is the engine's affair.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/core/config.h"

namespace moesim {

// Range and error of a fit. Errors are |predicted/measured - 1|. Ranges are inclusive; a range of
// {0, 0} was not varied and is not checked.
struct CommFit {
  std::string source;
  std::string date;
  std::int64_t rows = 0;
  std::int64_t erratic = 0;  // beside these, left out of the fit
  double median_error = 0.0;
  double p90_error = 0.0;
  std::string held_out;  // groups left out one by one for the two errors below; empty: none were
  double held_out_median_error = 0.0;
  double held_out_p90_error = 0.0;
  std::vector<std::int64_t> tokens{0, 0};  // per rank
  std::vector<std::int64_t> hidden{0, 0};
  std::vector<std::int64_t> ranks{0, 0};
  std::vector<std::int64_t> bytes{0, 0};
};

// What ranks tell each other before rows move: how many come from whom. Received counts size
// buffers, so the host waits for them. base + per_node_doubling log2(nodes) + per_token * tokens.
struct NotifyLaw {
  Seconds base;
  Seconds per_node_doubling;
  Seconds per_token;
  std::int64_t rows = 0;  // that it was fitted to; 0: none were measured, and it takes no time
  double median_error = 0.0;
  double p90_error = 0.0;

  [[nodiscard]] Seconds time(int nodes, std::int64_t tokens) const;
};

// What sizes a direction of an all-to-all beside its bytes.
struct AllToAllSize {
  int ranks = 1;
  int nodes = 1;
  std::int64_t experts = 0;  // slots of a layer, over all ranks
  std::int64_t tokens = 0;   // of the rank that has most
  std::int64_t hidden = 0;
};

// Time of one direction of an all-to-all, alone on the machine and counts known:
//   base + per_rank_doubling log2(ranks) + per_node_doubling log2(nodes)
//   + per_expert * experts + per_hidden * hidden + moving + ramp sqrt(moving),
//   moving = max over links (bytes / (efficiency * nominal bandwidth))
//            + (per_token + sm_per_token / sms) * tokens of a rank,
// where the device link also has to handle the streams of the busiest expert, one per source rank,
// at stream_rate each, and an SM-driven kernel moves no more than sm_rate * sms through it (joined
// by a norm of order `sharpness`).
struct AllToAllLaw {
  Seconds base;
  Seconds per_rank_doubling;
  Seconds per_node_doubling;
  Seconds per_expert;
  Seconds per_hidden;
  Seconds per_token;
  Seconds sm_per_token;  // of one SM: `sms` share the tokens
  double ramp = 0.0;     // sqrt(seconds)
  double device_link_efficiency = 1.0;
  double nic_efficiency = 1.0;
  Bandwidth stream_rate;  // of one source's rows for one expert; 0: no limit
  Bandwidth sm_rate;      // per SM; 0: no limit
  int sms = 0;            // SMs that the kernel is given by default
  double sharpness = 1.0;
  NotifyLaw notify;

  // `crossing`: what the slowest link takes for its bytes. Without the notification.
  [[nodiscard]] Seconds time(const AllToAllSize& size, Seconds crossing) const;
  // What a link's bytes take, and how many times longer that is than at the nominal bandwidth;
  // the SM limit included for a device's link.
  [[nodiscard]] Seconds crossing(Bytes bytes, Bandwidth nominal, bool device_link) const;
  [[nodiscard]] double stretch(Bandwidth nominal, bool device_link) const;
  // What one source's bytes for one expert take; 0 without a limit.
  [[nodiscard]] Seconds streaming(Bytes bytes) const;
  // Of a device link with this nominal bandwidth, the SM limit included.
  [[nodiscard]] double effective_device_efficiency(Bandwidth nominal) const;
};

enum class Direction { dispatch, combine };
std::string_view name_of(Direction direction);

struct AllToAllFamily {
  std::string algorithm;  // "deepep_normal"; variants after a dot: "rank_dedup.NVLinkOneSided"
  Direction direction = Direction::dispatch;
  bool multi_node = false;  // libraries run other kernels between nodes than within one
  AllToAllLaw law;
  CommFit fit;
};

// Time of a symmetric collective of n ranks on `bytes` per rank, x = volume(op, n) * bytes / B.
// At a measured n: the measured times, interpolated in log x. Between two: interpolated in log n at
// equal x: bytes per link decide. More ranks: the form's latency more. Other bytes: as the form
//   soft minimum (order 8) over protocols of
//   base + per_doubling (log2 n - 1) + x / efficiency + ramp sqrt(x),
// which answers alone where nothing was measured.
struct Protocol {
  Seconds base;
  Seconds per_doubling;
  double efficiency = 1.0;
  double ramp = 0.0;  // sqrt(seconds)
};

enum class CollectiveOp { all_reduce, all_gather, reduce_scatter, all_to_all };
std::string_view name_of(CollectiveOp op);

// Bytes through each device's up link (and its down link) per byte of the operation's buffer:
// 2(n-1)/n for an all-reduce, else (n-1)/n.
double link_volume(CollectiveOp op, int ranks);

// Measured times at one rank count; both ascending, times not strictly.
struct MeasuredCurve {
  int ranks = 0;
  std::vector<double> link_s;  // x
  std::vector<double> time_s;
};

struct CollectiveLaw {
  std::vector<Protocol> protocols;
  std::vector<MeasuredCurve> curves = {};  // ascending ranks

  [[nodiscard]] Seconds time(CollectiveOp op, int ranks, Bytes bytes, Bandwidth device_link) const;
  [[nodiscard]] double best_efficiency() const;
  // What the protocols say of x seconds on a link.
  [[nodiscard]] double form(int ranks, double link_s) const;

 private:
  [[nodiscard]] double at(const MeasuredCurve& curve, double link_s) const;
};

struct CollectiveFamily {
  CollectiveOp op = CollectiveOp::all_reduce;
  std::string library;  // "nccl-2.29.2", "custom_allreduce/trtllm-1.3.0rc20"
  CollectiveLaw law;
  CommFit fit;
};

struct CommProfile {
  std::string name;  // file name without ".json"
  std::string device;
  std::string architecture;
  // What the efficiencies refer to: nominal rates per direction of the measured system.
  Bandwidth device_link;
  Bandwidth nic;
  int devices_per_node = 1;
  std::string source;  // of the nominal rates
  // Of NICs with a protocol of their own, how their link's name begins: "efa". Its laws between
  // nodes are for such NICs, those of profiles without one for all others.
  std::string fabric = {};
  std::vector<AllToAllFamily> all_to_all;
  std::vector<CollectiveFamily> collectives;
};

// Throws ConfigError.
CommProfile parse_comm_profile(ConfigObject object, const std::string& name);

// The document that parse_comm_profile reads back.
nlohmann::json comm_profile_json(const CommProfile& profile);

// All *.json of the folders, by name. Throws ConfigError for a damaged file.
std::vector<CommProfile> load_comm_profiles(const std::vector<std::string>& folders);

enum class CommBasis {
  calibrated,    // fitted on this device
  transferred,   // fitted on another one: same latencies and efficiencies, nominal rates of this
  uncalibrated,  // 80 % of the nominal rates and 10 us
};
std::string_view name_of(CommBasis basis);

// Relative standard error of a time: of its logarithm. That of a normal law with the held-out
// errors' quantiles, ln(1 + error), the wider of median and p90 since errors have heavy tails.
// Without held-out errors: twice that of the in-sample ones (held-out errors of the shipped laws
// are 1.9 times as large, median of 48), four times where fewer than 10 rows carry the law. Twice
// as much when extrapolated or transferred; 0.5 when uncalibrated.
double standard_error(const CommFit& fit, CommBasis basis, bool extrapolated);

struct CommTarget {
  std::string device;
  std::string architecture;
  Bandwidth device_link{};              // 0: unknown
  std::string nic = {};                 // the link's name, "efa_400g"
  bool same_architecture_only = false;  // NPUs: another vendor's library says nothing
};

// Search order: this device, then the same architecture, then any device, then the fallback; among
// equals those on links of the same kind (of boards' slots, or of devices' own), then the law with
// the most rows, then by name. That order does not look at how fast the links are, so that a device
// with better ones is never slower. Variants of the algorithm count as the algorithm.
struct FoundAllToAll {
  AllToAllLaw law;
  CommFit fit;
  CommBasis basis = CommBasis::uncalibrated;
  std::string profile = "nominal";

  // Is this outside what the law was fitted on? Always false without a fit.
  [[nodiscard]] bool extrapolates(std::int64_t tokens, std::int64_t hidden, int ranks) const;
};
FoundAllToAll find_all_to_all(std::span<const CommProfile> profiles, const CommTarget& target,
                              std::string_view algorithm, Direction direction, bool multi_node);

struct FoundCollective {
  CollectiveLaw law;
  CommFit fit;
  CommBasis basis = CommBasis::uncalibrated;
  std::string profile = "nominal";
  std::string library;

  [[nodiscard]] bool extrapolates(int ranks, Bytes bytes) const;
};
// Does "custom_allreduce/TRTLLM" begin with "custom_allreduce/trtllm"? Letter case aside.
bool is_of_library(std::string_view library, std::string_view name);
// What the profiles have, sorted, each once.
std::vector<std::string> collective_libraries(std::span<const CommProfile> profiles);

// Of the nearest profile that has a library of one of the names: that of the first such name.
// "" is of every library.
FoundCollective find_collective(std::span<const CommProfile> profiles, const CommTarget& target,
                                CollectiveOp op, std::span<const std::string> names);

// The law that a run uses. `names`: the wanted library, then what may stand in for it anywhere;
// where nobody has measured any (or none is named), the custom kernel of the framework, NCCL, or
// whatever there is.
FoundCollective choose_collective(std::span<const CommProfile> profiles, const CommTarget& target,
                                  CollectiveOp op, std::span<const std::string> names,
                                  std::string_view framework);

}  // namespace moesim
