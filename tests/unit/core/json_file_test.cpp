#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>

#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/core/output_file.h"
#include "tests/support/temporary_folder.h"

using namespace moesim;
using Json = nlohmann::json;
namespace fs = std::filesystem;

namespace {

std::string message(std::string_view text) {
  try {
    parse_json(text, "run.json");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

std::string repeated(std::string_view text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) {
    result += text;
  }
  return result;
}

std::size_t files_in(const fs::path& folder) {
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

}  // namespace

TEST_CASE("a syntax error is named by line and column", "[core][unit]") {
  // The '}' in line 3, column 1 stands where a value is needed.
  CHECK_THAT(message("{\n  \"a\":\n}"), Catch::StartsWith("run.json:3:1: not JSON: "));
  CHECK_THAT(message("{\"a\": 1,}"), Catch::StartsWith("run.json:1:9: not JSON: "));
  CHECK_THAT(message("nul"), Catch::StartsWith("run.json:1:"));
  CHECK_THAT(message(""), Catch::StartsWith("run.json:1:1: not JSON: "));
  CHECK_THAT(message("{\"a\": 1"), Catch::StartsWith("run.json:1:8: not JSON: "));
}

TEST_CASE("what is not strict JSON is refused", "[core][unit]") {
  const auto* const text =
      GENERATE("{\"a\": 1} x", "{} {}", "{\"a\": 1,}", "[1,]", "// c\n{}", "/* c */ {}", "{'a': 1}",
               "{a: 1}", "{\"a\": NaN}", "{\"a\": Infinity}", "{\"a\": 01}", "{\"a\": +1}",
               "{\"a\": .5}", "{\"a\": 0x1}", "{\"a\": \"\xff\"}", "{\"a\": \"\\ud800\"}",
               "{\"a\": \"\n\"}", "{\"a\": \"\\x\"}", "[[[", "]", "\"");
  CAPTURE(text);
  CHECK_THAT(message(text), Catch::StartsWith("run.json:1:") || Catch::StartsWith("run.json:2:"));
}

TEST_CASE("numbers beyond the range of a double are refused", "[core][unit]") {
  CHECK_THAT(message("{\"a\": 1e999}"), Catch::Contains("out of range"));
  CHECK_THAT(message("[-1e999]"), Catch::Contains("out of range"));
}

TEST_CASE("a byte order mark, white space and a bare value are JSON", "[core][unit]") {
  CHECK(parse_json("\xef\xbb\xbf{\"a\": 1}", "run.json") == Json{{"a", 1}});
  CHECK(parse_json(" \t\r\n1 \n", "run.json") == 1);
}

TEST_CASE("a key that stands twice is refused at any depth", "[core][unit]") {
  CHECK(message(R"({"a": 1, "a": 1})") ==
        "run.json: key \"a\" stands twice in one object; keep one of them");
  CHECK(message(R"({"o": [{"k": {}, "x": 1, "k": 2}]})") ==
        "run.json: key \"k\" stands twice in one object; keep one of them");
  // Escapes do not hide it.
  CHECK_FALSE(message(R"({"a": 1, "\u0061": 1})").empty());
  CHECK(message(R"({"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]})").empty());
}

TEST_CASE("nesting has a limit that protects the stack", "[core][unit]") {
  const auto* const deep = "run.json: objects and arrays are nested more than 200 deep";
  CHECK(message(repeated("[", 200) + repeated("]", 200)).empty());
  CHECK(message(repeated("[", 201) + repeated("]", 201)) == deep);
  CHECK(message(repeated("{\"a\":", 200) + "1" + repeated("}", 200)).empty());
  CHECK(message(repeated("{\"a\":", 201) + "1" + repeated("}", 201)) == deep);
  CHECK(message(repeated("[{\"a\":", 101) + "1" + repeated("}]", 101)) == deep);
  CHECK(message(repeated("[", 1'000'000)) == deep);
  CHECK(message(repeated("{\"a\":", 1'000'000)) == deep);
}

TEST_CASE("a file that cannot be read is named", "[core][unit]") {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("absent.json");
  CHECK_THROWS_WITH(read_json_file(path),
                    path + ": cannot be read; give the path of an existing file");
  CHECK_THROWS_AS(read_text_file(folder.path().string()), ConfigError);
}

TEST_CASE("text is written as it is and read back", "[core][unit]") {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("a.json");
  const std::string text("{\"a\": 1}\r\n\0x", 12);
  write_text_file(path, text);
  CHECK(read_text_file(path) == text);
  write_text_file(path, "");
  CHECK(read_text_file(path).empty());
  CHECK(files_in(folder.path()) == 1);
}

TEST_CASE("a failed write leaves the old file and nothing else", "[core][unit]") {
  const test::TemporaryFolder folder;
  // The folder does not exist: nothing can be opened.
  CHECK_THROWS_AS(write_text_file(folder.file("absent/a.json"), "x"), std::system_error);
  // The target is a folder: writing succeeds, the rename does not.
  const std::string occupied = folder.file("occupied");
  fs::create_directories(occupied + "/inner");
  CHECK_THROWS_AS(write_text_file(occupied, "x"), std::system_error);
  CHECK(fs::is_directory(occupied + "/inner"));
  CHECK(files_in(folder.path()) == 1);
}
