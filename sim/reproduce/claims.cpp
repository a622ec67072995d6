#include "sim/reproduce/claims.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "sim/core/config.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::string_view, 4> kinds{"predict", "calibrate", "input", "report"};
constexpr std::array<std::string_view, 6> tolerance_kinds{"relative", "points", "absolute",
                                                          "exact",    "sign",   "none"};

template <std::size_t N>
std::size_t index_in(const std::array<std::string_view, N>& names, std::string_view name) {
  return static_cast<std::size_t>(std::ranges::find(names, name) - names.begin());
}

// Half a unit of the last digit that the number is written with: 0.005 for 54.46, 0.5 for 16.
double half_digit(const Json& number) {
  const std::string text = number.dump();
  const auto mantissa = text.substr(0, text.find_first_of("eE"));
  const auto point = mantissa.find('.');
  const double decimals =
      point == std::string::npos ? 0.0 : static_cast<double>(mantissa.size() - point - 1);
  const auto e = text.find_first_of("eE");
  const double exponent = e == std::string::npos ? 0.0 : std::stod(text.substr(e + 1));
  return 0.5 * std::pow(10.0, exponent - decimals);
}

void read_value(ConfigObject& object, Claim& claim) {
  const Json* value = object.raw("value");
  if (value == nullptr) {
    object.fail("value", "is missing; the published figure is needed");
  }
  claim.value_json = value->dump();
  const auto add = [&claim](const Json& number) {
    claim.numbers.push_back(number.get<double>());
    claim.half_digits.push_back(half_digit(number));
  };
  if (value->is_number()) {
    add(*value);
  } else if (value->is_array() && !value->empty() &&
             std::ranges::all_of(*value, [](const Json& v) { return v.is_number(); })) {
    std::ranges::for_each(*value, add);
  }
}

// Numbers that stand alone in a text: "973" of "32B dense 973 (b336, 86.34ms)", not 32 and 336.
std::vector<double> numbers_in(const std::string& text) {
  constexpr std::string_view digits = "0123456789.";
  std::vector<double> numbers;
  for (std::size_t i = text.find_first_of(digits); i != std::string::npos;) {
    const std::size_t end = std::min(text.find_first_not_of(digits, i), text.size());
    double value = 0.0;
    const auto [stop, error] = std::from_chars(text.data() + i, text.data() + end, value);
    const bool alone =
        (i == 0 || std::isalnum(static_cast<unsigned char>(text[i - 1])) == 0) &&
        (end == text.size() || std::isalpha(static_cast<unsigned char>(text[end])) == 0);
    if (error == std::errc{} && stop != text.data() + i && alone) {
      numbers.push_back(value);
    }
    i = text.find_first_of(digits, end);
  }
  return numbers;
}

Claim parse_claim(ConfigObject object) {
  Claim claim;
  claim.id = object.text("id");
  if (claim.id.empty()) {
    object.fail("id", "is empty; a claim needs a name");
  }
  claim.kind = static_cast<ClaimKind>(index_in(kinds, object.choice("kind", kinds)));
  claim.unit = object.text("unit");
  claim.system = object.text_or("system", "");
  claim.claim = object.text_or("claim", "");
  claim.evidence = object.text_or("evidence", object.text_or("source", ""));
  const Json* tolerance = object.raw("tolerance");
  if (tolerance == nullptr) {
    object.fail("tolerance", "is missing; an object {\"type\": ..., \"value\": ...} is needed");
  }
  claim.tolerance = parse_tolerance(*tolerance, object.where("tolerance"));
  read_value(object, claim);
  claim.baseline_numbers = numbers_in(object.text_or("baseline", ""));
  for (const char* key : {"paper", "arxiv", "metric", "reproduce_as"}) {
    object.text_or(key, "");
  }
  object.boolean_or("looked_up", false);
  object.object_if("setup");
  if (const Json* all = object.raw("value_text"); all != nullptr && all->is_array()) {
    for (const Json& figure : *all) {
      if (figure.is_number()) {
        claim.all_numbers.push_back(figure.get<double>());
      }
    }
  }
  object.reject_unknown_keys();
  return claim;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row.back();
}

}  // namespace

std::string_view name_of(ClaimKind kind) { return kinds.at(static_cast<std::size_t>(kind)); }

std::string_view name_of(ToleranceKind kind) {
  return tolerance_kinds.at(static_cast<std::size_t>(kind));
}

Tolerance parse_tolerance(const Json& document, const std::string& where) {
  ConfigObject object(document, where);
  Tolerance tolerance;
  tolerance.kind =
      static_cast<ToleranceKind>(index_in(tolerance_kinds, object.choice("type", tolerance_kinds)));
  const Json* value = object.raw("value");
  if (value != nullptr && !value->is_null()) {
    constexpr double widest = 1e6;
    tolerance.value = object.number("value", 0.0, widest);
  }
  object.reject_unknown_keys();
  const bool needed = tolerance.kind == ToleranceKind::relative ||
                      tolerance.kind == ToleranceKind::points ||
                      tolerance.kind == ToleranceKind::absolute;
  if (needed && !tolerance.value) {
    object.fail("value", "is missing; a tolerance of type " + std::string(name_of(tolerance.kind)) +
                             " needs a number");
  }
  return tolerance;
}

std::vector<Claim> parse_claims(const Json& document, const std::string& name) {
  if (!document.is_array()) {
    throw ConfigError(name + "#", "is not an array [...] of claims");
  }
  std::vector<Claim> claims;
  std::set<std::string> ids;
  for (std::size_t i = 0; i < document.size(); ++i) {
    const std::string where = name + "#/" + std::to_string(i);
    claims.push_back(parse_claim(ConfigObject(document[i], where)));
    if (!ids.insert(claims.back().id).second) {
      throw ConfigError(where + "/id", "\"" + claims.back().id + "\" stands twice; keep one");
    }
  }
  return claims;
}

std::vector<std::string> near_texts(const std::string& text,
                                    const std::vector<std::string>& known) {
  std::vector<std::pair<std::size_t, std::string>> by_distance;
  for (const std::string& candidate : known) {
    by_distance.emplace_back(edit_distance(text, candidate), candidate);
  }
  std::ranges::stable_sort(by_distance);
  constexpr std::size_t most = 3;
  std::vector<std::string> near;
  for (std::size_t i = 0; i < std::min(most, by_distance.size()); ++i) {
    near.push_back(by_distance[i].second);
  }
  return near;
}

}  // namespace moesim
