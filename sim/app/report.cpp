#include "sim/app/report.h"

#include <nlohmann/json.hpp>

#include "sim/core/config.h"
#include "sim/core/error.h"

namespace moesim {

bool is_drawable(const nlohmann::json& document) {
  if (!document.is_object()) {
    return false;
  }
  const auto schema = document.find("schema");
  const bool known = schema != document.end() &&
                     (*schema == "moesim.report/1" || *schema == "moesim.place-rebalance/1");
  return known || (document.contains("placement") && document.contains("objective"));
}

void check_drawable(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    if (!is_drawable(read_json_file(path))) {
      throw ConfigError(
          path,
          "is no report; make one with: moesim simulate SCENARIO --json, moesim place "
          "PROBLEM --json, or moesim place rebalance TRACE --json");
    }
  }
}

}  // namespace moesim
