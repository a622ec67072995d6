// Published figures that a simulation can be held against.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moesim {

// What a figure is good for: predicted and judged, fitted to, part of a setup, or only shown.
enum class ClaimKind { predict, calibrate, input, report };
std::string_view name_of(ClaimKind kind);

enum class ToleranceKind { relative, points, absolute, exact, sign, none };
std::string_view name_of(ToleranceKind kind);

struct Tolerance {
  ToleranceKind kind = ToleranceKind::none;
  std::optional<double> value;  // required for relative, points and absolute; >= 0
};

struct Claim {
  std::string id;
  std::string system;
  std::string claim;  // in words
  std::string unit;
  std::string evidence;  // where the figure was read
  ClaimKind kind = ClaimKind::report;
  Tolerance tolerance;
  std::string value_json;                  // as published, one JSON value
  std::vector<double> numbers;             // of a number, or a list of numbers; empty for all else
  std::vector<double> baseline_numbers{};  // that the claim's baseline states
  std::vector<double> all_numbers{};  // of the list that `numbers` is the headline of; else empty
  std::vector<double> half_digits;    // half a unit of each number's last printed digit
};

// An array of claims. Throws ConfigError("name#/index/key", ...).
std::vector<Claim> parse_claims(const nlohmann::json& document, const std::string& name);

// Throws ConfigError at the object's place.
Tolerance parse_tolerance(const nlohmann::json& document, const std::string& where);

// Up to three texts of the list that are the fewest edits away from `text`, nearest first.
std::vector<std::string> near_texts(const std::string& text, const std::vector<std::string>& known);

}  // namespace moesim
