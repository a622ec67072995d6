#include "models/comm/comm_profile.h"

#include <array>
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

AllToAllLaw parse_all_to_all_law(ConfigObject object) {
  AllToAllLaw law;
  law.base = object.non_negative<Seconds>("base");
  law.per_node_doubling = object.non_negative<Seconds>("per_node_doubling", Seconds(0.0));
  law.per_expert = object.non_negative<Seconds>("per_expert", Seconds(0.0));
  law.per_token = object.non_negative<Seconds>("per_token", Seconds(0.0));
  law.device_link_efficiency = object.number("device_link_efficiency", 1e-6, 100.0);
  law.nic_efficiency = object.number_or("nic_efficiency", 1.0, 1e-6, 100.0);
  law.expert_rate = object.non_negative<Bandwidth>("expert_rate", Bandwidth(0.0));
  law.sm_rate = object.non_negative<Bandwidth>("sm_rate", Bandwidth(0.0));
  law.sms = static_cast<int>(object.integer_or("sms", 0, 0, 1024));
  law.sharpness = object.number_or("sharpness", 1.0, 0.1, 100.0);
  if (law.sm_rate.si() > 0.0 && law.sms == 0) {
    object.fail("sms", "is 0 although sm_rate limits the rate; give the SMs of the kernel");
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
