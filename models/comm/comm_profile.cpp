#include "models/comm/comm_profile.h"

#include <algorithm>
#include <array>
#include <functional>
#include <nlohmann/json.hpp>

#include "sim/core/catalog.h"

namespace moesim {
namespace {

std::vector<std::int64_t> range(ConfigObject& object, std::string_view key) {
  if (!object.has(key)) {
    return {0, 0};
  }
  auto ends = object.integers(key, 0, k_no_limit);
  if (ends.size() != 2 || ends[0] > ends[1]) {
    object.fail(key, "is not a range; write [smallest, largest]");
  }
  return ends;
}

CommFit parse_fit(ConfigObject object) {
  CommFit fit;
  fit.source = object.text("source");
  fit.date = object.text("date");
  fit.rows = object.integer("rows", 1);
  fit.erratic = object.integer_or("erratic", 0, 0);
  fit.median_error = object.number("median_error", 0.0, 100.0);
  fit.p90_error = object.number("p90_error", fit.median_error, 1000.0);
  fit.held_out = object.text_or("held_out", "");
  fit.held_out_median_error = object.number_or("held_out_median_error", 0.0, 0.0, 100.0);
  fit.held_out_p90_error = object.number_or("held_out_p90_error", 0.0, 0.0, 1000.0);
  fit.tokens = range(object, "tokens");
  fit.hidden = range(object, "hidden");
  fit.ranks = range(object, "ranks");
  fit.bytes = range(object, "bytes");
  object.reject_unknown_keys();
  return fit;
}

NotifyLaw parse_notify(ConfigObject object) {
  NotifyLaw notify;
  notify.base = object.non_negative<Seconds>("base");
  notify.per_node_doubling = object.non_negative<Seconds>("per_node_doubling", Seconds(0.0));
  notify.per_token = object.non_negative<Seconds>("per_token", Seconds(0.0));
  notify.rows = object.integer("rows", 1);
  notify.median_error = object.number("median_error", 0.0, 100.0);
  notify.p90_error = object.number("p90_error", notify.median_error, 1000.0);
  object.reject_unknown_keys();
  return notify;
}

AllToAllLaw parse_all_to_all_law(ConfigObject object) {
  AllToAllLaw law;
  law.base = object.non_negative<Seconds>("base");
  law.per_rank_doubling = object.non_negative<Seconds>("per_rank_doubling", Seconds(0.0));
  law.per_node_doubling = object.non_negative<Seconds>("per_node_doubling", Seconds(0.0));
  law.per_expert = object.non_negative<Seconds>("per_expert", Seconds(0.0));
  law.per_hidden = object.non_negative<Seconds>("per_hidden", Seconds(0.0));
  law.per_token = object.non_negative<Seconds>("per_token", Seconds(0.0));
  law.sm_per_token = object.non_negative<Seconds>("sm_per_token", Seconds(0.0));
  law.ramp = object.number_or("ramp", 0.0, 0.0, 1.0);
  law.device_link_efficiency = object.number("device_link_efficiency", 1e-6, 100.0);
  law.nic_efficiency = object.number_or("nic_efficiency", 1.0, 1e-6, 100.0);
  law.stream_rate = object.non_negative<Bandwidth>("stream_rate", Bandwidth(0.0));
  law.sm_rate = object.non_negative<Bandwidth>("sm_rate", Bandwidth(0.0));
  law.sms = static_cast<int>(object.integer_or("sms", 0, 0, 1024));
  law.sharpness = object.number_or("sharpness", 1.0, 0.1, 100.0);
  if ((law.sm_rate.si() > 0.0 || law.sm_per_token.si() > 0.0) && law.sms == 0) {
    object.fail("sms", "is 0 although SMs limit the rate; give those of the kernel");
  }
  if (auto notify = object.object_if("notify")) {
    law.notify = parse_notify(*notify);
  }
  object.reject_unknown_keys();
  return law;
}

AllToAllFamily parse_all_to_all(ConfigObject object) {
  constexpr std::array<std::string_view, 2> directions{"dispatch", "combine"};
  constexpr std::array<std::string_view, 2> scopes{"one_node", "multi_node"};
  AllToAllFamily family;
  family.algorithm = object.text("algorithm");
  family.direction = object.choice("direction", directions) == "dispatch" ? Direction::dispatch
                                                                          : Direction::combine;
  family.multi_node = object.choice("scope", scopes) == "multi_node";
  family.law = parse_all_to_all_law(object.object("law"));
  family.fit = parse_fit(object.object("fit"));
  object.reject_unknown_keys();
  return family;
}

Protocol parse_protocol(ConfigObject object) {
  Protocol protocol;
  protocol.base = object.positive<Seconds>("base");
  protocol.per_doubling = object.non_negative<Seconds>("per_doubling", Seconds(0.0));
  protocol.efficiency = object.number("efficiency", 1e-6, 100.0);
  protocol.ramp = object.number_or("ramp", 0.0, 0.0, 1.0);
  object.reject_unknown_keys();
  return protocol;
}

// Logarithms are taken: positive, x ascending, times not descending.
MeasuredCurve parse_curve(ConfigObject object) {
  constexpr double us = 1e-6;
  constexpr double k_least_us = 1e-9;
  constexpr double k_most_us = 1e12;
  MeasuredCurve curve;
  curve.ranks = static_cast<int>(object.integer("ranks", 2, 1 << 16));
  curve.link_s = object.numbers("link_us", k_least_us, k_most_us);
  curve.time_s = object.numbers("time_us", k_least_us, k_most_us);
  if (curve.link_s.empty() || curve.link_s.size() != curve.time_s.size()) {
    object.fail("time_us", "has " + std::to_string(curve.time_s.size()) + " times for " +
                               std::to_string(curve.link_s.size()) +
                               " link_us; give one for each, and at least one");
  }
  if (std::ranges::adjacent_find(curve.link_s, std::greater_equal<>()) != curve.link_s.end()) {
    object.fail("link_us", "does not ascend");
  }
  if (!std::ranges::is_sorted(curve.time_s)) {
    object.fail("time_us", "descends; more bytes take no less time");
  }
  for (std::size_t i = 0; i < curve.link_s.size(); ++i) {
    curve.link_s[i] *= us;
    curve.time_s[i] *= us;
  }
  object.reject_unknown_keys();
  return curve;
}

CollectiveFamily parse_collective(ConfigObject object) {
  constexpr std::array ops{CollectiveOp::all_reduce, CollectiveOp::all_gather,
                           CollectiveOp::reduce_scatter, CollectiveOp::all_to_all};
  std::array<std::string_view, ops.size()> names;
  for (std::size_t i = 0; i < ops.size(); ++i) {
    names[i] = name_of(ops[i]);
  }
  CollectiveFamily family;
  const std::string op = object.choice("op", names);
  for (std::size_t i = 0; i < ops.size(); ++i) {
    family.op = names[i] == op ? ops[i] : family.op;
  }
  family.library = object.text("library");
  for (const ConfigObject& protocol : object.objects("protocols")) {
    family.law.protocols.push_back(parse_protocol(protocol));
  }
  if (family.law.protocols.empty()) {
    object.fail("protocols", "is empty; a collective needs at least one protocol");
  }
  if (object.has("curves")) {
    for (const ConfigObject& curve : object.objects("curves")) {
      family.law.curves.push_back(parse_curve(curve));
    }
    if (std::ranges::adjacent_find(family.law.curves, std::greater_equal<>(),
                                   &MeasuredCurve::ranks) != family.law.curves.end()) {
      object.fail("curves", "are not in the order of their ranks, each once");
    }
  }
  family.fit = parse_fit(object.object("fit"));
  object.reject_unknown_keys();
  return family;
}

}  // namespace

CommProfile parse_comm_profile(ConfigObject object, const std::string& name) {
  CommProfile profile;
  profile.name = name;
  profile.device = object.text("device");
  profile.architecture = object.text("architecture");
  profile.device_link = object.positive<Bandwidth>("device_link");
  profile.nic = object.positive<Bandwidth>("nic");
  profile.devices_per_node = static_cast<int>(object.integer("devices_per_node", 1, 1024));
  profile.source = object.text("source");
  profile.fabric = object.text_or("fabric", "");
  for (const ConfigObject& family : object.objects("all_to_all")) {
    profile.all_to_all.push_back(parse_all_to_all(family));
  }
  for (const ConfigObject& family : object.objects("collectives")) {
    profile.collectives.push_back(parse_collective(family));
  }
  object.reject_unknown_keys();
  return profile;
}

std::vector<CommProfile> load_comm_profiles(const std::vector<std::string>& folders) {
  std::vector<CommProfile> profiles;
  for (const std::string& name : catalog_names(folders)) {
    const std::string path = find_in_catalog(name, folders);
    const nlohmann::json document = read_json_file(path);
    profiles.push_back(parse_comm_profile(ConfigObject(document, path + "#"), name));
  }
  return profiles;
}

}  // namespace moesim
