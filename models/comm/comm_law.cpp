#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <tuple>

#include "models/comm/all_to_all_variants.h"
#include "models/comm/comm_profile.h"
#include "models/kernels/kernel_transfer.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr double k_softness = 8.0;  // order of the soft minimum over protocols
constexpr double k_nominal_share = 0.8;
constexpr Seconds k_nominal_latency(10e-6);

bool outside(const std::vector<std::int64_t>& range, std::int64_t value) {
  const bool varied = range[0] != 0 || range[1] != 0;
  return varied && (value < range[0] || value > range[1]);
}

// 0: this device, 1: same die family, 2: another device.
int distance(const CommProfile& profile, const CommTarget& target) {
  if (profile.device == target.device) {
    return 0;
  }
  return profile.architecture == target.architecture ? 1 : 2;
}

// Boards in slots share a host's lanes; devices with links of their own reach more than any slot.
bool in_slots(Bandwidth device_link) { return device_link < Bandwidth(100e9); }

bool other_kind(const CommProfile& profile, const CommTarget& target) {
  return target.device_link.si() > 0.0 &&
         in_slots(profile.device_link) != in_slots(target.device_link);
}

// "rank_dedup.NVLinkOneSided" is a variant of "rank_dedup".
bool is_variant(const std::string& name, std::string_view algorithm) {
  return name.starts_with(algorithm) &&
         (name.size() == algorithm.size() || name[algorithm.size()] == '.');
}

struct Match {
  const CommProfile* profile = nullptr;
  std::size_t family = 0;
  int distance = 3;  // no less than that of a profile
  bool other_fabric = false;
  bool other_kind = false;
  double generations = 0.0;  // between the dies, in whole steps
  std::int64_t rows = 0;

  [[nodiscard]] auto nearness() const {
    return std::tuple(other_fabric, distance > 0, other_kind, distance, generations);
  }
  [[nodiscard]] bool nearer_than(const Match& other) const {
    return std::tuple(nearness(), other.rows) < std::tuple(other.nearness(), rows);
  }
};

bool fits_fabric(const CommProfile& profile, const CommTarget& target,
                 std::span<const CommProfile> profiles) {
  const auto names_it = [&](const CommProfile& other) {
    return !other.fabric.empty() && target.nic.starts_with(other.fabric);
  };
  return profile.fabric.empty() ? std::ranges::none_of(profiles, names_it) : names_it(profile);
}

// `between_nodes`: NICs matter, more than the device does.
template <class Families, class Wanted>
Match nearest(std::span<const CommProfile> profiles, const CommTarget& target, Families families,
              bool between_nodes, Wanted wanted) {
  Match best;
  for (const CommProfile& profile : profiles) {
    const auto& list = profile.*families;
    const auto found = std::ranges::find_if(list, wanted);
    const int far = distance(profile, target);
    if (found == list.end() || (far == 2 && target.same_architecture_only)) {
      continue;
    }
    const Match match{&profile,
                      static_cast<std::size_t>(found - list.begin()),
                      far,
                      between_nodes && !fits_fabric(profile, target, profiles),
                      other_kind(profile, target),
                      std::round(generation_distance(profile.architecture, target.architecture)),
                      found->fit.rows};
    if (best.profile == nullptr || match.nearer_than(best)) {
      best = match;
    }
  }
  return best;
}

CommBasis basis_of(const Match& match) {
  return match.distance == 0 && !match.other_fabric ? CommBasis::calibrated
                                                    : CommBasis::transferred;
}

}  // namespace

std::string_view name_of(Direction direction) {
  return direction == Direction::dispatch ? "dispatch" : "combine";
}

std::string_view name_of(CollectiveOp op) {
  constexpr std::array<std::string_view, 4> names{"all_reduce", "all_gather", "reduce_scatter",
                                                  "all_to_all"};
  return names[static_cast<std::size_t>(op)];
}

std::string_view name_of(CommBasis basis) {
  constexpr std::array<std::string_view, 3> names{"calibrated", "transferred", "uncalibrated"};
  return names[static_cast<std::size_t>(basis)];
}

double standard_error(const CommFit& fit, CommBasis basis, bool extrapolated) {
  constexpr double nominal = 0.5;
  constexpr double in_sample_factor = 2.0;
  constexpr std::int64_t few_rows = 10;
  constexpr double few_rows_factor = 2.0;
  constexpr double median_of_normal = 0.6745;  // of |x|, standard normal
  constexpr double p90_of_normal = 1.645;
  if (basis == CommBasis::uncalibrated) {
    return nominal;
  }
  const auto sigma = [](double median, double p90) {
    return std::max(std::log1p(median) / median_of_normal, std::log1p(p90) / p90_of_normal);
  };
  const double stretch = extrapolated || basis == CommBasis::transferred ? 2.0 : 1.0;
  if (!fit.held_out.empty()) {
    return stretch * sigma(fit.held_out_median_error, fit.held_out_p90_error);
  }
  return stretch * sigma(fit.median_error, fit.p90_error) * in_sample_factor *
         (fit.rows < few_rows ? few_rows_factor : 1.0);
}

Seconds NotifyLaw::time(int nodes, std::int64_t tokens) const {
  return base + per_node_doubling * std::log2(static_cast<double>(nodes)) +
         per_token * static_cast<double>(tokens);
}

Seconds AllToAllLaw::time(const AllToAllSize& size, Seconds crossing) const {
  const auto tokens = static_cast<double>(size.tokens);
  Seconds moving = crossing + per_token * tokens;
  if (sms > 0) {
    moving += sm_per_token * (tokens / sms);
  }
  return base + per_rank_doubling * std::log2(static_cast<double>(size.ranks)) +
         per_node_doubling * std::log2(static_cast<double>(size.nodes)) +
         per_expert * static_cast<double>(size.experts) +
         per_hidden * static_cast<double>(size.hidden) + moving +
         Seconds(ramp * std::sqrt(moving.si()));
}

Seconds AllToAllLaw::crossing(Bytes bytes, Bandwidth nominal, bool device_link) const {
  return bytes * stretch(nominal, device_link) / nominal;
}

double AllToAllLaw::stretch(Bandwidth nominal, bool device_link) const {
  return 1.0 / (device_link ? effective_device_efficiency(nominal) : nic_efficiency);
}

Seconds AllToAllLaw::streaming(Bytes bytes) const {
  return stream_rate.si() > 0.0 ? bytes / stream_rate : Seconds(0.0);
}

double AllToAllLaw::effective_device_efficiency(Bandwidth nominal) const {
  if (sm_rate.si() == 0.0) {
    return device_link_efficiency;
  }
  const double link_time = 1.0 / device_link_efficiency;
  const double sm_time = nominal / (sm_rate * static_cast<double>(sms));
  const double worse = std::max(link_time, sm_time);
  return 1.0 / (worse * std::pow(std::pow(link_time / worse, sharpness) +
                                     std::pow(sm_time / worse, sharpness),
                                 1.0 / sharpness));
}

double link_volume(CollectiveOp op, int ranks) {
  const double share = static_cast<double>(ranks - 1) / static_cast<double>(ranks);
  return op == CollectiveOp::all_reduce ? 2.0 * share : share;
}

Seconds CollectiveLaw::time(CollectiveOp op, int ranks, Bytes bytes, Bandwidth device_link) const {
  ensure(!protocols.empty() && ranks >= 1, "a collective has protocols and ranks");
  if (ranks == 1 || bytes.si() == 0.0) {
    return Seconds(0.0);
  }
  const double x = (bytes * link_volume(op, ranks) / device_link).si();
  if (curves.empty()) {
    return Seconds(form(ranks, x));
  }
  const auto above = std::ranges::lower_bound(curves, ranks, {}, &MeasuredCurve::ranks);
  if (above != curves.end() && above->ranks == ranks) {
    return Seconds(at(*above, x));
  }
  if (above == curves.begin() || above == curves.end()) {
    const MeasuredCurve& edge = above == curves.end() ? curves.back() : curves.front();
    return Seconds(at(edge, x) + std::max(0.0, form(ranks, 0.0) - form(edge.ranks, 0.0)));
  }
  const auto below = above - 1;
  const double share = std::log(static_cast<double>(ranks) / below->ranks) /
                       std::log(static_cast<double>(above->ranks) / below->ranks);
  return Seconds(std::pow(at(*below, x), 1.0 - share) * std::pow(at(*above, x), share));
}

// Smaller and larger than measured: the nearest time, scaled as the form.
double CollectiveLaw::at(const MeasuredCurve& curve, double link_s) const {
  const auto above = std::ranges::lower_bound(curve.link_s, link_s);
  if (above == curve.link_s.begin() || above == curve.link_s.end()) {
    const std::size_t edge = above == curve.link_s.end() ? curve.link_s.size() - 1 : 0;
    return curve.time_s[edge] * form(curve.ranks, link_s) / form(curve.ranks, curve.link_s[edge]);
  }
  const auto i = static_cast<std::size_t>(above - curve.link_s.begin());
  const double share =
      std::log(link_s / curve.link_s[i - 1]) / std::log(curve.link_s[i] / curve.link_s[i - 1]);
  return std::pow(curve.time_s[i - 1], 1.0 - share) * std::pow(curve.time_s[i], share);
}

double CollectiveLaw::form(int ranks, double link_s) const {
  double sum = 0.0;
  double fastest = 0.0;
  for (const Protocol& p : protocols) {
    const double t = p.base.si() + p.per_doubling.si() * (std::log2(ranks) - 1.0) +
                     link_s / p.efficiency + p.ramp * std::sqrt(link_s);
    // Scaled by the fastest so far: t^-8 of microseconds would leave the range of doubles' comfort.
    if (fastest == 0.0 || t < fastest) {
      sum = fastest == 0.0 ? 1.0 : 1.0 + sum * std::pow(t / fastest, k_softness);
      fastest = t;
    } else {
      sum += std::pow(fastest / t, k_softness);
    }
  }
  return fastest * std::pow(sum, -1.0 / k_softness);
}

double CollectiveLaw::best_efficiency() const {
  double best = 0.0;
  for (const Protocol& p : protocols) {
    best = std::max(best, p.efficiency);
  }
  return best;
}

bool FoundAllToAll::extrapolates(std::int64_t tokens, std::int64_t hidden, int ranks) const {
  return outside(fit.tokens, tokens) || outside(fit.hidden, hidden) || outside(fit.ranks, ranks);
}

bool FoundCollective::extrapolates(int ranks, Bytes bytes) const {
  return outside(fit.ranks, ranks) || outside(fit.bytes, static_cast<std::int64_t>(bytes.si()));
}

std::vector<std::string> all_to_all_variants(std::span<const CommProfile> profiles,
                                             std::string_view algorithm) {
  std::set<std::string> names;
  for (const CommProfile& profile : profiles) {
    for (const AllToAllFamily& family : profile.all_to_all) {
      if (family.algorithm.size() > algorithm.size() && is_variant(family.algorithm, algorithm)) {
        names.insert(family.algorithm);
      }
    }
  }
  return {names.begin(), names.end()};
}

FoundAllToAll find_all_to_all(std::span<const CommProfile> profiles, const CommTarget& target,
                              std::string_view algorithm, Direction direction, bool multi_node) {
  const Match match = nearest(
      profiles, target, &CommProfile::all_to_all, multi_node, [&](const AllToAllFamily& family) {
        return is_variant(family.algorithm, algorithm) && family.direction == direction &&
               family.multi_node == multi_node;
      });
  FoundAllToAll found;
  if (match.profile == nullptr) {
    found.law.base = k_nominal_latency;
    found.law.device_link_efficiency = k_nominal_share;
    found.law.nic_efficiency = k_nominal_share;
    return found;
  }
  const AllToAllFamily& family = match.profile->all_to_all[match.family];
  found.law = family.law;
  found.fit = family.fit;
  found.basis = basis_of(match);
  found.profile = match.profile->name;
  if (family.law.notify.rows == 0) {
    // Published tables leave it out: that of the nearest device where it was measured.
    const Match told = nearest(
        profiles, target, &CommProfile::all_to_all, multi_node, [&](const AllToAllFamily& other) {
          return other.algorithm == family.algorithm && other.direction == direction &&
                 other.multi_node == multi_node && other.law.notify.rows > 0;
        });
    if (told.profile != nullptr) {
      found.law.notify = told.profile->all_to_all[told.family].law.notify;
    }
  }
  return found;
}

bool is_of_library(std::string_view library, std::string_view name) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return library.size() >= name.size() &&
         std::ranges::equal(library.substr(0, name.size()), name, {}, lower, lower);
}

std::vector<std::string> collective_libraries(std::span<const CommProfile> profiles) {
  std::set<std::string> names;
  for (const CommProfile& profile : profiles) {
    for (const CollectiveFamily& family : profile.collectives) {
      names.insert(family.library);
    }
  }
  return {names.begin(), names.end()};
}

FoundCollective find_collective(std::span<const CommProfile> profiles, const CommTarget& target,
                                CollectiveOp op, std::span<const std::string> names) {
  Match match;
  for (const std::string& name : names) {
    const Match other = nearest(profiles, target, &CommProfile::collectives, false,
                                [&](const CollectiveFamily& family) {
                                  return family.op == op && is_of_library(family.library, name);
                                });
    if (other.profile != nullptr &&
        (match.profile == nullptr || other.nearness() < match.nearness())) {
      match = other;
    }
  }
  FoundCollective found;
  if (match.profile == nullptr) {
    found.law.protocols = {{k_nominal_latency, Seconds(0.0), k_nominal_share, 0.0}};
    return found;
  }
  const CollectiveFamily& family = match.profile->collectives[match.family];
  found.law = family.law;
  found.fit = family.fit;
  found.basis = basis_of(match);
  found.profile = match.profile->name;
  found.library = family.library;
  return found;
}

FoundCollective choose_collective(std::span<const CommProfile> profiles, const CommTarget& target,
                                  CollectiveOp op, std::span<const std::string> names,
                                  std::string_view framework) {
  const FoundCollective named = find_collective(profiles, target, op, names);
  if (named.basis != CommBasis::uncalibrated) {
    return named;
  }
  std::vector<std::string> usual{"nccl", ""};
  if (!framework.empty()) {
    usual.insert(usual.begin(), "custom_allreduce/" + std::string(framework));
  }
  return find_collective(profiles, target, op, usual);
}

}  // namespace moesim
