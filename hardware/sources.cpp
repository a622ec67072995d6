#include "hardware/sources.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "sim/core/error.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

// "3.35 TB/s", but not "h800_sxm": a number, a space, a unit.
bool is_quantity_text(const Json& value) {
  if (!value.is_string()) {
    return false;
  }
  const auto& text = value.get_ref<const std::string&>();
  double number = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end != text.data() + text.size() && *end == ' ';
}

bool is_left_out(const std::string& pointer, std::span<const std::string_view> left_out) {
  return std::ranges::any_of(left_out,
                             [&](std::string_view part) { return covers(part, pointer); });
}

void collect(const Json& value, const std::string& pointer,
             std::span<const std::string_view> left_out, std::vector<std::string>& found) {
  if (pointer == "/sources" || pointer == "/name" || is_left_out(pointer, left_out)) {
    return;
  }
  if (value.is_structured()) {
    for (const auto& item : value.items()) {
      collect(item.value(), pointer + "/" + item.key(), left_out, found);
    }
  } else if (value.is_number() || is_quantity_text(value)) {
    found.push_back(pointer);
  }
}

// YYYY, YYYY-MM or YYYY-MM-DD, or the mark of a scenario's own value.
bool is_date(std::string_view text) {
  if (text == k_set_by_scenario) {
    return true;
  }
  constexpr std::string_view form = "dddd-dd-dd";
  if (text.size() != 4 && text.size() != 7 && text.size() != 10) {
    return false;
  }
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (form[i] == 'd' ? !digit : text[i] != '-') {
      return false;
    }
  }
  return true;
}

// The pointers of one entry, checked.
std::vector<std::string> read_entry(ConfigObject entry, const std::vector<std::string>& numbers) {
  std::vector<std::string> fields = entry.texts("fields");
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (std::ranges::none_of(numbers, [&](const auto& f) { return covers(fields[i], f); })) {
      throw ConfigError(
          entry.where("fields") + "/" + std::to_string(i),
          "\"" + fields[i] +
              R"(" covers no number of this document; write the JSON pointer of a field ("/memory"), )"
              R"(or "" for all of them)");
    }
  }
  if (entry.text("source").empty()) {
    entry.fail("source", "is empty; name the document or measurement that the numbers come from");
  }
  const std::string date = entry.text("date");
  if (!is_date(date)) {
    entry.fail("date", R"(is not a date; write "YYYY", "YYYY-MM" or "YYYY-MM-DD")");
  }
  const auto kind = entry.choice_or("kind", k_unsaid_kind, k_source_kinds);
  if ((kind == k_scenario_kind) != (date == k_set_by_scenario) && entry.has("kind")) {
    entry.fail("kind", R"("scenario" goes with the date "run" and with no other)");
  }
  entry.reject_unknown_keys();
  return fields;
}

}  // namespace

std::vector<std::string> numeric_fields(const Json& document,
                                        std::span<const std::string_view> left_out) {
  std::vector<std::string> found;
  collect(document, "", left_out, found);
  return found;
}

bool covers(std::string_view pointer, std::string_view field) {
  return field.starts_with(pointer) &&
         (field.size() == pointer.size() || field[pointer.size()] == '/');
}

void read_sources(ConfigObject& document, std::span<const std::string_view> left_out) {
  const std::vector<std::string> numbers = numeric_fields(document.json(), left_out);
  std::vector<std::string> covered;
  const std::vector<ConfigObject> entries = document.objects("sources");
  document.reject_unknown_keys();
  for (const ConfigObject& entry : entries) {
    const auto fields = read_entry(entry, numbers);
    covered.insert(covered.end(), fields.begin(), fields.end());
  }
  for (const std::string& number : numbers) {
    if (std::ranges::none_of(covered, [&](const auto& p) { return covers(p, number); })) {
      std::string message = "no source for ";
      message.append(number).append(R"(; add {"fields": [")").append(number);
      message += R"("], "kind": "assumption", "source": "...", "date": "YYYY-MM"})";
      document.fail("sources", message);
    }
  }
}

}  // namespace moesim
