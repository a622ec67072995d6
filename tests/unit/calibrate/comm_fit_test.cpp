#include "calibrate/comm_fit.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "calibrate/comm_log_fit.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

const std::string k_profiles = std::string(MOESIM_SOURCE_DIR) + "/hardware/profiles";
const std::string k_measured = std::string(MOESIM_SHARED_DIR) + "/data/measured";

}  // namespace

// Set MOESIM_UPDATE_PROFILES to the date of the fit to write the profiles instead of comparing.
TEST_CASE("shipped profiles are what the fit gives", "[calibrate][shared]") {
  if (!std::filesystem::exists(k_measured)) {
    WARN("skipped: no measured tables here");
    return;
  }
  const auto shipped = load_comm_profiles({k_profiles});
  const char* date = std::getenv("MOESIM_UPDATE_PROFILES");
  const auto fitted = fit_comm(k_measured, shipped, date == nullptr ? "" : date);
  for (std::size_t i = 0; i < fitted.size(); ++i) {
    CAPTURE(fitted[i].name);
    const nlohmann::json document = comm_profile_json(fitted[i]);
    if (date != nullptr) {
      write_text_file(k_profiles + "/" + fitted[i].name + ".json", document.dump(2) + "\n");
      continue;
    }
    const auto again = parse_comm_profile(ConfigObject(document, "fitted#"), fitted[i].name);
    REQUIRE(again.all_to_all.size() == shipped[i].all_to_all.size());
    REQUIRE(again.collectives.size() == shipped[i].collectives.size());
    for (std::size_t f = 0; f < again.all_to_all.size(); ++f) {
      CHECK(again.all_to_all[f].law.base.si() ==
            Approx(shipped[i].all_to_all[f].law.base.si()).epsilon(1e-3));
      CHECK(again.all_to_all[f].fit.median_error ==
            Approx(shipped[i].all_to_all[f].fit.median_error).margin(1e-3));
    }
    for (std::size_t f = 0; f < again.collectives.size(); ++f) {
      CHECK(again.collectives[f].fit.median_error ==
            Approx(shipped[i].collectives[f].fit.median_error).margin(1e-3));
    }
  }
}

TEST_CASE("validation accounts for every row", "[calibrate][shared]") {
  if (!std::filesystem::exists(k_measured)) {
    WARN("skipped: no measured tables here");
    return;
  }
  const auto validation = validate_collectives(k_measured, load_comm_profiles({k_profiles}));
  std::int64_t accounted = 0;
  for (const CommGroup& g : validation.groups) {
    accounted += g.n;
    UNSCOPED_INFO(g.name << " n " << g.n << " median " << g.median_ape << " p90 " << g.p90_ape
                         << " signed " << g.mean_signed_error << " naive " << g.naive_median_ape);
  }
  for (const auto& [reason, n] : validation.skipped) {
    accounted += n;
    UNSCOPED_INFO("skipped " << n << ": " << reason);
  }
  CHECK(accounted == validation.rows_read);
  CHECK(validation.rows_read > 100000000);
}

}  // namespace moesim
