#include <catch2/catch.hpp>
#include <filesystem>
#include <set>

#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/core/output_file.h"
#include "sim/core/thread_pool.h"
#include "sim/engine/device_peaks.h"
#include "small_scenario.h"
#include "tests/support/temporary_folder.h"

using namespace moesim;
using Catch::Matchers::Contains;

namespace {

KernelWishes wish(const char* name) { return {{{"default", name}}}; }

const RouterSpec k_router{.layers = 26, .experts = 64, .top_k = 6};

// A library whose files may be changed.
CatalogFolders copied_catalogs(const test::TemporaryFolder& folder) {
  CatalogFolders folders = testing::shipped_catalogs();
  for (auto* const list : {&folders.hardware, &folders.models, &folders.kernel_profiles,
                           &folders.comm_profiles, &folders.routing_profiles}) {
    const std::string copy = folder.file(std::to_string(std::hash<std::string>()(list->front())));
    std::filesystem::copy(list->front(), copy, std::filesystem::copy_options::recursive);
    list->front() = copy;
  }
  return folders;
}

double step_of(const nlohmann::json& document, const Library& library) {
  Simulation simulation(parse_scenario(document, "test.json"), library, 1);
  return simulation.run_step(0, *make_fast_backend(), false).result.makespan_s;
}

}  // namespace

TEST_CASE("what a library has read is read once, for all threads", "[library][unit]") {
  const Library library(testing::shipped_catalogs());
  const nlohmann::json hardware{{"cluster", "h100-8x-ib400"}, {"nodes", 2}};
  constexpr std::size_t askers = 16;
  struct Asked {
    std::shared_ptr<const LoadedCluster> cluster;
    std::shared_ptr<const LoadedModel> model;
    std::shared_ptr<const KernelModel> kernels;
    std::shared_ptr<const std::vector<CommProfile>> comm;
    std::shared_ptr<const RoutingSource> routing;
    auto operator<=>(const Asked&) const = default;
  };
  std::vector<Asked> asked(askers);
  parallel_for(askers, 4, [&](std::size_t i) {
    asked[i].cluster = library.cluster(hardware, std::to_string(i));
    asked[i].model = library.model("deepseek-v2-lite", std::to_string(i));
    asked[i].kernels =
        library.kernels(peaks_of(asked[i].cluster->cluster.node.device), wish("trtllm"), "w");
    asked[i].comm = library.comm_profiles();
    asked[i].routing = library.routing("power_law:0.6", k_router, std::to_string(i));
  });
  CHECK(std::set<Asked>(asked.begin(), asked.end()).size() == 1);
  CHECK(asked[0].cluster->cluster.nodes == 2);
}

TEST_CASE("what was asked for differently is loaded apart", "[library][unit]") {
  const Library library(testing::shipped_catalogs());
  CHECK(library.cluster({{"cluster", "h100-8x-ib400"}, {"nodes", 2}}, "a")->cluster.nodes == 2);
  CHECK(library.cluster({{"cluster", "h100-8x-ib400"}, {"nodes", 3}}, "a")->cluster.nodes == 3);
  CHECK(library.cluster("h100-8x-ib400", "a")->cluster.nodes == 1);
  DevicePeaks device = peaks_of(library.cluster("h100-8x-ib400", "a")->cluster.node.device);
  const auto usual = library.kernels(device, wish("trtllm"), "w");
  CHECK(library.kernels(device, wish("vllm"), "w") != usual);
  KernelWishes captured = wish("trtllm");
  captured.captured = true;
  CHECK(library.kernels(device, captured, "w") != usual);
  device.memory = device.memory * 2.0;
  CHECK(library.kernels(device, wish("trtllm"), "w") != usual);
  RouterSpec router = k_router;
  const auto routing = library.routing("balanced", router, "a");
  router.top_k = 5;
  CHECK(library.routing("balanced", router, "a") != routing);
  CHECK(library.routing("power_law:1", k_router, "a") != routing);
}

TEST_CASE("a mistake is told to everyone who makes it, and not remembered", "[library][unit]") {
  const test::TemporaryFolder folder;
  const CatalogFolders folders = copied_catalogs(folder);
  const Library library(folders);
  CHECK_THROWS_WITH(library.model("none-such", "a.json#/model"), Contains("a.json#/model"));
  CHECK_THROWS_WITH(library.model("none-such", "b.json#/model"), Contains("b.json#/model"));
  CHECK_THROWS_WITH(library.kernels({}, wish("sglan"), "a.json#/policy/kernels"),
                    Contains("a.json#/policy/kernels") && Contains("infersim") &&
                        Contains("sglang, spec_sheet, trtllm, vidur, vllm"));
  std::filesystem::copy(folders.models.front() + "/mixtral-8x7b.json",
                        folders.models.front() + "/none-such.json");
  CHECK(library.model("none-such", "b.json#/model")->model.layers.size() == 32);
  // An inline object's mistakes are told where it stands, even those that show later.
  const nlohmann::json inline_model = *library.model("mixtral-8x7b", "a")->effective;
  CHECK(library.model(inline_model, "a.json#/model")->model.where == "a.json#/model");
  CHECK(library.model(inline_model, "b.json#/model")->model.where == "b.json#/model");
}

TEST_CASE("steps on a shared library are those of a fresh one", "[library][property]") {
  const Library shared(testing::shipped_catalogs());
  for (const int requests : {1, 16, 7}) {
    const nlohmann::json document = testing::small_scenario(8, requests);
    const double fresh = step_of(document, Library(testing::shipped_catalogs()));
    CHECK(step_of(document, shared) == fresh);
    CHECK(step_of(document, shared) == fresh);
  }
}

TEST_CASE("a damaged profile is reported by the step that needs it", "[library][unit]") {
  const test::TemporaryFolder folder;
  const CatalogFolders folders = copied_catalogs(folder);
  const std::string damaged = folders.kernel_profiles.front() + "/h100_sxm.vllm-0.24.0.json";
  std::string text = read_text_file(damaged);
  text.resize(text.size() / 2);
  write_text_file(damaged, text);
  const Library library(folders);
  nlohmann::json document = testing::small_scenario();
  CHECK(step_of(document, library) > 0.0);
  document["policy"]["kernels"] = "vllm";
  CHECK_THROWS_WITH(step_of(document, library), Contains("h100_sxm.vllm-0.24.0.json"));
  CHECK_THROWS_AS(step_of(document, library), ConfigError);
}

TEST_CASE("a library outlives its folders", "[library][unit]") {
  const nlohmann::json document = testing::small_scenario();
  auto folder = std::make_unique<test::TemporaryFolder>();
  const Library library(copied_catalogs(*folder));
  const double before = step_of(document, library);
  folder.reset();
  CHECK(step_of(document, library) == before);
}
