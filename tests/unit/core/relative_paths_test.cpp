#include "sim/core/relative_paths.h"

#include <array>
#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "sim/core/output_file.h"
#include "tests/support/temporary_folder.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

std::string_view behind_colon(std::string_view text) { return text.substr(text.find(':') + 1); }

const std::array k_keys{PathKey{"/file", whole_text}, PathKey{"/model", json_file_name},
                        PathKey{"/node/parts/*", json_file_name},
                        PathKey{"/routing", behind_colon}};

}  // namespace

TEST_CASE("paths of a document lead from where it lies", "[core][unit]") {
  Json document{{"file", "../x/batches.json"},
                {"model", "deepseek-v3"},
                {"node", {{"parts", {"a.json", "a", 3}}, {"other", "b.json"}}},
                {"routing", "profile:mine.json"},
                {"model.json", "c.json"}};
  CHECK(rebase_paths(document, "some/folder/s.json", k_keys).empty());
  CHECK(document == Json{{"file", "some/x/batches.json"},
                         {"model", "deepseek-v3"},  // a name
                         {"node", {{"parts", {"some/folder/a.json", "a", 3}}, {"other", "b.json"}}},
                         {"routing", "profile:some/folder/mine.json"},
                         {"model.json", "c.json"}});
  Json absolute{{"file", "/x/batches.json"}, {"node", 3}};
  const Json before = absolute;
  CHECK(rebase_paths(absolute, "some/folder/s.json", k_keys).empty());
  CHECK(absolute == before);
  Json beside{{"file", "batches.json"}};
  CHECK(rebase_paths(beside, "s.json", k_keys).empty());
  CHECK(beside["file"] == "batches.json");
}

TEST_CASE("a file of the working directory alone is used, and said to be", "[core][unit]") {
  const test::TemporaryFolder folder;
  // Paths from the working directory, wherever the tests run.
  const std::string root =
      std::filesystem::relative(folder.path(), std::filesystem::current_path()).string();
  std::filesystem::create_directories(folder.file("in"));
  write_text_file(folder.file("here.json"), "{}");
  const std::string name = root + "/here.json";
  Json document{{"file", name}};
  const auto messages = rebase_paths(document, root + "/in/s.json", k_keys);
  CHECK(document["file"] == name);
  REQUIRE(messages.size() == 1);
  CHECK_THAT(messages[0], Catch::StartsWith(root + "/in/s.json#/file: ") &&
                              Catch::Contains("does not exist, " + name));
  // What lies beside the document goes first.
  std::filesystem::create_directories(folder.file("in/here.json"));
  document["file"] = "here.json";
  CHECK(rebase_paths(document, root + "/in/s.json", k_keys).empty());
  CHECK(document["file"] == root + "/in/here.json");
}

}  // namespace moesim
