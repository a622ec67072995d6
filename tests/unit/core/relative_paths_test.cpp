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

// For as long as it lives.
class WorkingDirectory {
 public:
  explicit WorkingDirectory(const std::filesystem::path& folder)
      : before_(std::filesystem::current_path()) {
    std::filesystem::current_path(folder);
  }
  ~WorkingDirectory() {
    std::error_code ignored;
    std::filesystem::current_path(before_, ignored);
  }
  WorkingDirectory(const WorkingDirectory&) = delete;
  WorkingDirectory& operator=(const WorkingDirectory&) = delete;

 private:
  std::filesystem::path before_;
};

}  // namespace

TEST_CASE("paths of a document lead from where it lies", "[core][unit]") {
  Json document{{"file", "../x/batches.json"},
                {"model", "deepseek-v3"},
                {"node", {{"parts", {"a.json", "a", 3}}, {"other", "b.json"}}},
                {"routing", "profile:mine.json"},
                {"model.json", "c.json"}};
  CHECK(rebase_paths(document, "some/folder/s.json", k_keys).empty());
  CHECK(document == Json{{"file", "some/folder/../x/batches.json"},
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
  Json dotted{{"file", "./././batches.json"}};
  CHECK(rebase_paths(dotted, "./folder/s.json", k_keys).empty());
  CHECK(dotted["file"] == "./folder/batches.json");
}

TEST_CASE("what lies above a linked folder is where the link leads", "[core][unit]") {
  const test::TemporaryFolder folder;
  const WorkingDirectory here(folder.path());
  std::filesystem::create_directories("far/away/cases");
  std::filesystem::create_directory_symlink("far/away/cases", "linked");
  write_text_file("far/away/batches.json", "{}");
  Json document{{"file", "../batches.json"}};
  CHECK(rebase_paths(document, "linked/s.json", k_keys).empty());
  CHECK(std::filesystem::exists(document["file"].get<std::string>()));
}

TEST_CASE("paths of a document from no folder are the working directory's", "[core][unit]") {
  Json document{{"file", "batches.json"}};
  CHECK(rebase_paths(document, "/dev/null", k_keys).empty());
  CHECK(document["file"] == "batches.json");
}

TEST_CASE("a file of the working directory alone is used, and said to be", "[core][unit]") {
  const test::TemporaryFolder folder;
  const WorkingDirectory here(folder.path());
  std::filesystem::create_directories("in");
  write_text_file("here.json", "{}");
  Json document{{"file", "here.json"}};
  const auto messages = rebase_paths(document, "in/s.json", k_keys);
  CHECK(document["file"] == "here.json");
  CHECK(messages == std::vector<std::string>{
                        "in/s.json#/file: in/here.json does not exist, here.json of the working "
                        "directory is used; write paths relative to the file that they stand in"});
  // What lies beside the document goes first, and what is nowhere is asked for there.
  write_text_file("in/here.json", "{}");
  CHECK(rebase_paths(document, "in/s.json", k_keys).empty());
  CHECK(document["file"] == "in/here.json");
  document["file"] = "nowhere.json";
  CHECK(rebase_paths(document, "in/s.json", k_keys).empty());
  CHECK(document["file"] == "in/nowhere.json");
}

}  // namespace moesim
