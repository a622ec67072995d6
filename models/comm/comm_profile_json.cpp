#include <array>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "models/comm/comm_profile.h"
#include "sim/core/quantity_text.h"

namespace moesim {
namespace {

// Fitted numbers carry six digits: more would only record the compiler.
double rounded(double value, const char* format = "%.6g") {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), format, value);
  return std::strtod(text.data(), nullptr);
}

template <class Q>
std::string text_of(Q value) {
  return format_quantity(Q(rounded(value.si())));
}

template <class Q>
void put_unless_zero(nlohmann::json& object, const char* key, Q value) {
  if (value.si() != 0.0) {
    object[key] = text_of(value);
  }
}

void put_range(nlohmann::json& object, const char* key, const std::vector<std::int64_t>& range) {
  if (range[0] != 0 || range[1] != 0) {
    object[key] = range;
  }
}

nlohmann::json fit_json(const CommFit& fit) {
  nlohmann::json object{{"source", fit.source},
                        {"date", fit.date},
                        {"rows", fit.rows},
                        {"median_error", rounded(fit.median_error)},
                        {"p90_error", rounded(fit.p90_error)}};
  if (fit.erratic > 0) {
    object["erratic"] = fit.erratic;
  }
  if (!fit.held_out.empty()) {
    object["held_out"] = fit.held_out;
    object["held_out_median_error"] = rounded(fit.held_out_median_error);
    object["held_out_p90_error"] = rounded(fit.held_out_p90_error);
  }
  put_range(object, "tokens", fit.tokens);
  put_range(object, "hidden", fit.hidden);
  put_range(object, "ranks", fit.ranks);
  put_range(object, "bytes", fit.bytes);
  return object;
}

nlohmann::json law_json(const AllToAllLaw& law) {
  nlohmann::json object{{"base", text_of(law.base)},
                        {"device_link_efficiency", rounded(law.device_link_efficiency)},
                        {"nic_efficiency", rounded(law.nic_efficiency)}};
  put_unless_zero(object, "per_rank_doubling", law.per_rank_doubling);
  put_unless_zero(object, "per_node_doubling", law.per_node_doubling);
  put_unless_zero(object, "per_expert", law.per_expert);
  put_unless_zero(object, "per_hidden", law.per_hidden);
  put_unless_zero(object, "per_token", law.per_token);
  put_unless_zero(object, "sm_per_token", law.sm_per_token);
  put_unless_zero(object, "stream_rate", law.stream_rate);
  if (law.ramp > 0.0) {
    object["ramp"] = rounded(law.ramp);
  }
  if (law.sms > 0) {
    object["sms"] = law.sms;
  }
  if (law.sm_rate.si() > 0.0) {
    object["sm_rate"] = text_of(law.sm_rate);
    object["sharpness"] = rounded(law.sharpness);
  }
  if (const NotifyLaw& notify = law.notify; notify.rows > 0) {
    object["notify"] = {{"base", text_of(notify.base)},
                        {"rows", notify.rows},
                        {"median_error", rounded(notify.median_error)},
                        {"p90_error", rounded(notify.p90_error)}};
    put_unless_zero(object["notify"], "per_node_doubling", notify.per_node_doubling);
    put_unless_zero(object["notify"], "per_token", notify.per_token);
  }
  return object;
}

nlohmann::json protocols_json(const CollectiveLaw& law) {
  nlohmann::json list = nlohmann::json::array();
  for (const Protocol& p : law.protocols) {
    nlohmann::json object{{"base", text_of(p.base)}, {"efficiency", rounded(p.efficiency)}};
    put_unless_zero(object, "per_doubling", p.per_doubling);
    if (p.ramp > 0.0) {
      object["ramp"] = rounded(p.ramp);
    }
    list.push_back(object);
  }
  return list;
}

// Four digits: runs differ by more.
nlohmann::json curves_json(const CollectiveLaw& law) {
  const auto microseconds = [](const std::vector<double>& seconds, const char* format) {
    nlohmann::json list = nlohmann::json::array();
    for (const double s : seconds) {
      list.push_back(rounded(s * 1e6, format));
    }
    return list;
  };
  nlohmann::json list = nlohmann::json::array();
  for (const MeasuredCurve& curve : law.curves) {
    list.push_back({{"ranks", curve.ranks},
                    {"link_us", microseconds(curve.link_s, "%.6g")},
                    {"time_us", microseconds(curve.time_s, "%.4g")}});
  }
  return list;
}

}  // namespace

nlohmann::json comm_profile_json(const CommProfile& profile) {
  nlohmann::json document{{"device", profile.device},
                          {"architecture", profile.architecture},
                          {"device_link", format_quantity(profile.device_link)},
                          {"nic", format_quantity(profile.nic)},
                          {"devices_per_node", profile.devices_per_node},
                          {"source", profile.source},
                          {"all_to_all", nlohmann::json::array()},
                          {"collectives", nlohmann::json::array()}};
  if (!profile.fabric.empty()) {
    document["fabric"] = profile.fabric;
  }
  for (const AllToAllFamily& family : profile.all_to_all) {
    document["all_to_all"].push_back({{"algorithm", family.algorithm},
                                      {"direction", name_of(family.direction)},
                                      {"scope", family.multi_node ? "multi_node" : "one_node"},
                                      {"law", law_json(family.law)},
                                      {"fit", fit_json(family.fit)}});
  }
  for (const CollectiveFamily& family : profile.collectives) {
    document["collectives"].push_back({{"op", name_of(family.op)},
                                       {"library", family.library},
                                       {"protocols", protocols_json(family.law)},
                                       {"fit", fit_json(family.fit)}});
    if (!family.law.curves.empty()) {
      document["collectives"].back()["curves"] = curves_json(family.law);
    }
  }
  return document;
}

}  // namespace moesim
