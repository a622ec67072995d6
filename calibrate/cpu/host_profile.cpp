#include "calibrate/cpu/host_profile.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "sim/core/config.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

constexpr std::string_view k_schema = "moesim.host_profile/1";
constexpr double k_most = 1e6;

struct NamedKernel {
  std::string_view name;
  KernelTimes HostProfile::* times;
};
constexpr std::array k_kernels{
    NamedKernel{"expert", &HostProfile::expert},
    NamedKernel{"gate", &HostProfile::gate},
    NamedKernel{"dispatch_local", &HostProfile::dispatch_local},
    NamedKernel{"dispatch_remote", &HostProfile::dispatch_remote},
    NamedKernel{"combine_local", &HostProfile::combine_local},
    NamedKernel{"combine_remote", &HostProfile::combine_remote},
    NamedKernel{"page_cache", &HostProfile::page_cache},
};

Json ladder_json(const Ladder& ladder, const std::string& at, const std::string& value) {
  return {{at, ladder.at}, {value, ladder.value}};
}

Ladder read_ladder(ConfigObject object, const std::string& at, const std::string& value,
                   const Ladder& kind, bool may_be_empty) {
  Ladder ladder = kind;
  ladder.at = object.numbers(at, 0.0, 1e15);
  ladder.value = object.numbers(value, 0.0, k_most);
  if (ladder.at.size() != ladder.value.size()) {
    object.fail(value, "needs one value for every entry of " + at);
  }
  if (std::ranges::adjacent_find(ladder.at, std::greater_equal<>()) != ladder.at.end() ||
      (!ladder.at.empty() && ladder.at.front() <= 0)) {
    object.fail(at, "must be positive and ascend");
  }
  if (!std::ranges::is_sorted(ladder.value)) {
    object.fail(value, "must not fall");
  }
  if (ladder.at.empty() && !may_be_empty) {
    object.fail(at, "needs at least one point");
  }
  object.reject_unknown_keys();
  return ladder;
}

Json kernel_json(const KernelTimes& k) {
  return {{"fixed_s", k.fixed_s},
          {"per_row_s", k.per_row_s},
          {"per_element_s", k.per_element_s},
          {"contention", k.contention},
          {"per_weight", ladder_json(k.per_weight_s, "rows", "s")},
          {"remainder_s", k.remainder_s},
          {"alone", ladder_json(k.alone_s_per_byte, "working_set_bytes", "s_per_byte")},
          {"both", ladder_json(k.both_s_per_byte, "working_set_bytes", "s_per_byte")},
          {"far_fixed", ladder_json(k.far_fixed_s, "working_set_bytes", "s")},
          {"far_per_row", ladder_json(k.far_per_row_s, "working_set_bytes", "s")},
          {"fit",
           {{"rows", k.rows_fitted},
            {"median_error", k.median_error},
            {"largest_rows", k.largest_rows}}}};
}

KernelTimes read_kernel(ConfigObject object, bool has_products) {
  KernelTimes k;
  k.fixed_s = object.number("fixed_s", 0.0, k_most);
  k.per_row_s = object.number("per_row_s", 0.0, k_most);
  k.per_element_s = object.number("per_element_s", 0.0, k_most);
  k.contention = object.number("contention", 1.0, 2.0);
  const auto by_working_set = [&](std::string_view key, const std::string& value,
                                  bool may_be_empty) {
    return read_ladder(object.object(key), "working_set_bytes", value, {{}, {}, true, false},
                       may_be_empty);
  };
  k.per_weight_s =
      read_ladder(object.object("per_weight"), "rows", "s", {{}, {}, false, true}, !has_products);
  k.alone_s_per_byte = by_working_set("alone", "s_per_byte", false);
  k.both_s_per_byte = by_working_set("both", "s_per_byte", false);
  k.far_fixed_s = by_working_set("far_fixed", "s", true);
  k.far_per_row_s = by_working_set("far_per_row", "s", true);
  const std::vector<double> remainder = object.numbers("remainder_s", 0.0, k_most);
  if (remainder.size() != k_row_tile) {
    object.fail("remainder_s", "needs " + std::to_string(k_row_tile) + " values");
  }
  std::ranges::copy(remainder, k.remainder_s.begin());
  ConfigObject fit = object.object("fit");
  k.rows_fitted = fit.integer("rows", 0);
  k.median_error = fit.number("median_error", 0.0, k_most);
  k.largest_rows = fit.number("largest_rows", 0.0, 1e12);
  fit.reject_unknown_keys();
  if (k.alone_s({1, 1e6, 1e3, 1e6, 1e12}) <= 0.0) {
    object.fail("fixed_s", "is 0 like all other times of the kernel; a call takes time");
  }
  object.reject_unknown_keys();
  return k;
}

}  // namespace

double Ladder::share(std::size_t j, double x) const {
  const auto place = [&](double v) { return logarithmic ? std::log(v) : v; };
  if (j == 0) {
    return goes_on ? std::min(1.0, x / at[0]) : 1.0;
  }
  const double s = (place(x) - place(at[j - 1])) / (place(at[j]) - place(at[j - 1]));
  return goes_on && j + 1 == at.size() ? std::max(s, 0.0) : std::clamp(s, 0.0, 1.0);
}

double Ladder::operator()(double x) const {
  double sum = 0.0;
  for (std::size_t j = 0; j < at.size(); ++j) {
    sum += share(j, x) * (value[j] - (j == 0 ? 0.0 : value[j - 1]));
  }
  return sum;
}

std::size_t row_remainder(double rows) {
  const auto whole = static_cast<std::size_t>(rows);
  return whole <= k_row_tile ? 0 : whole % k_row_tile;
}

double KernelTimes::core_s(const KernelCall& call) const {
  return fixed_s + call.rows * (per_row_s + call.width * per_element_s) +
         call.weights * (per_weight_s(call.rows) + remainder_s.at(row_remainder(call.rows)));
}

double KernelTimes::memory_s(const KernelCall& call) const {
  return far_fixed_s(call.working_set_bytes) + call.rows * far_per_row_s(call.working_set_bytes) +
         call.bytes * alone_s_per_byte(call.working_set_bytes);
}

double KernelTimes::both_memory_s(const KernelCall& call) const {
  return far_fixed_s(call.working_set_bytes) + call.rows * far_per_row_s(call.working_set_bytes) +
         call.bytes * both_s_per_byte(call.working_set_bytes);
}

Json host_profile_json(const HostProfile& profile) {
  Json document{{"schema", k_schema},
                {"source", profile.source},
                {"date", profile.date},
                {"handoff_s", profile.handoff_s},
                {"private_caches", profile.private_caches},
                {"peak_flops_per_s", profile.peak_flops_per_s},
                {"peak_bytes_per_s", profile.peak_bytes_per_s}};
  for (const NamedKernel& kernel : k_kernels) {
    document["kernels"][std::string(kernel.name)] = kernel_json(profile.*kernel.times);
  }
  if (profile.disk) {
    document["kernels"]["disk"] = kernel_json(*profile.disk);
  }
  return document;
}

HostProfile parse_host_profile(const Json& document, const std::string& where) {
  ConfigObject root(document, where);
  if (root.text("schema") != k_schema) {
    root.fail("schema", "must be " + std::string(k_schema));
  }
  HostProfile profile;
  profile.source = root.text("source");
  profile.date = root.text("date");
  profile.handoff_s = root.number("handoff_s", 0.0, k_most);
  profile.private_caches = root.boolean_or("private_caches", false);
  profile.peak_flops_per_s = root.number("peak_flops_per_s", 1.0, 1e18);
  profile.peak_bytes_per_s = root.number("peak_bytes_per_s", 1.0, 1e18);
  ConfigObject kernels = root.object("kernels");
  for (const NamedKernel& kernel : k_kernels) {
    const bool has_products = kernel.name == "expert" || kernel.name == "gate";
    profile.*kernel.times = read_kernel(kernels.object(kernel.name), has_products);
  }
  if (kernels.has("disk")) {
    profile.disk = read_kernel(kernels.object("disk"), false);
  }
  kernels.reject_unknown_keys();
  root.reject_unknown_keys();
  return profile;
}

}  // namespace moesim
