#include "sim/app/catalog.h"
#include "sim/app/model_sheet.h"

#include <algorithm>
#include <filesystem>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "sim/core/error.h"
#include "sim/core/output_file.h"
#include "tests/support/temporary_folder.h"

using namespace moesim;

namespace {

const std::string k_root = MOESIM_SOURCE_DIR;

std::vector<std::string> names_of(const CatalogListing& listing, const std::string& kind) {
  return std::ranges::find(listing.files, kind, &CatalogListing::Shelf::kind)->names;
}

}  // namespace

TEST_CASE("a catalog lists every kind, and shows the documents it lists") {
  const CatalogFolders folders = catalog_folders({k_root});
  const CatalogListing listing = list_catalog(folders);
  CHECK(listing.files.size() == 7);
  for (const CatalogListing::Shelf& shelf : listing.files) {
    INFO(shelf.kind);
    CHECK_FALSE(shelf.names.empty());
  }
  for (const std::string& name : names_of(listing, "devices")) {
    CHECK(catalog_entry(name, folders).at("name") == name);
  }
  const nlohmann::json document = to_json(listing);
  CHECK(document.size() == listing.files.size() + listing.policies.size());
  CHECK(document.at("devices") == names_of(listing, "devices"));
  CHECK_FALSE(document.at("placement solvers").at("eplb").get<std::string>().empty());
  CHECK(preferred_files(folders).empty());
}

TEST_CASE("the first root that has a name is used, and says so") {
  const test::TemporaryFolder mine;
  const auto devices = mine.path() / "hardware" / "catalog" / "devices";
  std::filesystem::create_directories(devices);
  const std::string own = (devices / "h100_sxm.json").string();
  write_text_file(own, R"({"name": "mine"})");
  write_text_file((devices / "brand_new.json").string(), R"({"name": "new"})");
  const CatalogFolders folders = catalog_folders({mine.path().string(), k_root});
  CHECK(catalog_entry("h100_sxm", folders).at("name") == "mine");
  CHECK(preferred_files(folders) == std::vector<std::string>{own});
  const auto names = names_of(list_catalog(folders), "devices");
  CHECK(std::ranges::count(names, "brand_new") == 1);
  CHECK(std::ranges::count(names, "h100_sxm") == 1);
  const CatalogFolders shipped_first = catalog_folders({k_root, mine.path().string()});
  CHECK(catalog_entry("h100_sxm", shipped_first).at("name") == "h100_sxm");
}

TEST_CASE("a root that is no folder and a name that is no entry are refused") {
  CHECK_THROWS_WITH(catalog_folders({k_root, k_root + "/nowhere"}),
                    "--catalog " + k_root + "/nowhere: is not an existing folder");
  CHECK_THROWS_WITH(catalog_entry("h100", catalog_folders({k_root})),
                    Catch::StartsWith("catalog show h100: no such entry; there are: ") &&
                        Catch::Contains("h100_sxm"));
}

TEST_CASE("a model fits only in formats that the device computes in") {
  const ModelSheet sheet = model_sheet("qwen3-30b-a3b", catalog_folders({k_root}));
  const auto fits = [&sheet](const char* device, const char* precision) {
    return std::ranges::any_of(sheet.fits, [&](const Fit& fit) {
      return fit.device == device && fit.precision == precision;
    });
  };
  CHECK(fits("a100_sxm", "bf16"));
  CHECK_FALSE(fits("a100_sxm", "fp8_block"));
  CHECK(fits("h100_sxm", "fp8_block"));
  CHECK_FALSE(fits("h100_sxm", "fp4"));
  CHECK(fits("b200_sxm", "fp4"));
}
