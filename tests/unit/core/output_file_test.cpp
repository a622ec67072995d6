#include "sim/core/output_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <system_error>
#include <vector>

#include "sim/core/config.h"
#include "sim/core/error.h"
#include "tests/support/temporary_folder.h"

namespace moesim {
namespace {

namespace fs = std::filesystem;

std::ptrdiff_t files_in(const fs::path& folder) {
  return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
}

std::string refusal(const std::vector<NamedFile>& outputs, const std::vector<NamedFile>& inputs) {
  try {
    check_outputs(outputs, inputs);
    return {};
  } catch (const ConfigError& error) {
    return error.what();
  }
}

// Files of this process may not grow beyond so many bytes until the end of the scope.
class SmallDisk {
 public:
  explicit SmallDisk(rlim_t bytes) {
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit small{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
  }
  ~SmallDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int) = nullptr;
};

}  // namespace

TEST_CASE("a file appears when it is complete", "[core][unit]") {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("a.txt");
  write_text_file(path, "old");
  OutputFile file(path, OutputFile::Order::rewritten);
  file.write("?? ");
  file.write(std::string(1'000'000, 'x'));
  CHECK(read_text_file(path) == "old");
  file.rewrite(0, "new");
  file.write("!");
  file.finish();
  CHECK(read_text_file(path) == "new" + std::string(1'000'000, 'x') + "!");
  CHECK(files_in(folder.path()) == 1);
}

TEST_CASE("what is not finished leaves nothing", "[core][unit]") {
  const test::TemporaryFolder folder;
  write_text_file(folder.file("a.txt"), "old");
  {
    OutputFile given_up(folder.file("a.txt"));
    given_up.write(std::string(1'000'000, 'x'));
    OutputFile never_there(folder.file("b.txt"));
    never_there.write("x");
  }
  CHECK(read_text_file(folder.file("a.txt")) == "old");
  CHECK(files_in(folder.path()) == 1);
}

TEST_CASE("a killed process leaves the old file and nothing else", "[core][unit]") {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("a.txt");
  write_text_file(path, "old");
  for (const int signal : {SIGINT, SIGKILL}) {
    std::array<int, 2> ready{};
    REQUIRE(::pipe(ready.data()) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
      std::signal(SIGINT, SIG_DFL);
      OutputFile file(path);
      file.write(std::string(1'000'000, 'x'));
      if (::write(ready[1], "r", 1) == 1) {
        ::pause();
      }
      ::_exit(1);
    }
    char byte = 0;
    REQUIRE(::read(ready[0], &byte, 1) == 1);
    ::kill(child, signal);
    int status = 0;
    ::waitpid(child, &status, 0);
    ::close(ready[0]);
    ::close(ready[1]);
    CHECK(WIFSIGNALED(status));
    CHECK(read_text_file(path) == "old");
    CHECK(files_in(folder.path()) == 1);
  }
}

TEST_CASE("a disk without room leaves the old file and nothing else", "[core][unit]") {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("a.txt");
  write_text_file(path, "old");
  {
    const SmallDisk disk(1000);
    CHECK_THROWS_AS(write_text_file(path, std::string(5000, 'x')), std::system_error);
    CHECK_THROWS_AS(write_text_file(path, std::string(5'000'000, 'x')), std::system_error);
  }
  CHECK(read_text_file(path) == "old");
  CHECK(files_in(folder.path()) == 1);
}

TEST_CASE("links stay and what they lead to is replaced", "[core][unit]") {
  const test::TemporaryFolder folder;
  fs::create_directory(folder.path() / "far");
  const std::string file = folder.file("far/real.txt");
  const std::string link = folder.file("link.txt");
  fs::create_symlink("far/real.txt", link);
  write_text_file(link, "through a link that leads nowhere yet");
  CHECK(fs::is_symlink(link));
  CHECK(fs::is_regular_file(file));
  ::chmod(file.c_str(), 0640);
  write_text_file(link, "again");
  CHECK(fs::is_symlink(link));
  CHECK(read_text_file(file) == "again");
  CHECK((fs::status(file).permissions() & fs::perms::mask) == fs::perms(0640));
  fs::create_symlink("loop", folder.path() / "loop");
  CHECK_THROWS_AS(write_text_file(folder.file("loop"), "x"), std::system_error);
}

TEST_CASE("what is no regular file is written through", "[core][unit]") {
  for (const auto order : {OutputFile::Order::forward, OutputFile::Order::rewritten}) {
    OutputFile nothing("/dev/null", order);
    nothing.write("x");
    nothing.finish();
    CHECK(fs::is_character_file("/dev/null"));

    if (fs::exists("/dev/full")) {
      OutputFile full("/dev/full", order);
      full.write("x");
      CHECK_THROWS_WITH(full.finish(), "cannot write /dev/full: No space left on device");
    }

    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    OutputFile pipe("/dev/fd/" + std::to_string(ends[1]), order);
    pipe.write("?bc");
    if (order == OutputFile::Order::rewritten) {
      pipe.rewrite(0, "a");
    }
    pipe.finish();
    std::array<char, 8> text{};
    CHECK(::read(ends[0], text.data(), text.size()) == 3);
    CHECK(std::string(text.data()) == (order == OutputFile::Order::forward ? "?bc" : "abc"));
    ::close(ends[0]);
    ::close(ends[1]);
  }
}

TEST_CASE("a redirected descriptor goes on where it is", "[core][unit]") {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("log.txt");
  const int log = ::open(path.c_str(), O_CREAT | O_WRONLY, 0644);
  REQUIRE(::write(log, "before ", 7) == 7);
  write_text_file("/dev/fd/" + std::to_string(log), "written");
  REQUIRE(::write(log, " after", 6) == 6);
  ::close(log);
  CHECK(read_text_file(path) == "before written after");
}

TEST_CASE("outputs are refused before the work", "[core][unit]") {
  const test::TemporaryFolder folder;
  const std::string in = folder.file("in.json");
  const std::string link = folder.file("link.json");
  write_text_file(in, "{}");
  fs::create_symlink("in.json", link);
  fs::create_hard_link(in, folder.file("hard.json"));
  fs::create_directories(folder.path() / "tables" / "h100");
  const std::string table = folder.file("tables/h100/gemm.csv");
  write_text_file(table, "a\n");
  const std::vector<NamedFile> inputs{{"scenario", in}, {"dir", folder.file("tables")}};

  CHECK(refusal({{"--out", folder.file("out.json")}, {"--points", ""}}, inputs).empty());
  CHECK(refusal({{"--out", folder.file("tables/h100/new.csv")}}, inputs).empty());
  const std::string same = "would replace what is read: scenario " + in + "; give another path";
  CHECK(refusal({{"--out", in}}, inputs) == "--out " + in + ": " + same);
  CHECK(refusal({{"--out", link}}, inputs) == "--out " + link + ": " + same);
  CHECK(refusal({{"--out", folder.file("hard.json")}}, inputs).find(same) != std::string::npos);
  CHECK(refusal({{"--out", table}}, inputs).find("would replace what is read: dir") !=
        std::string::npos);
  CHECK(refusal({{"--out", folder.file("absent/a.json")}}, inputs)
            .ends_with("the folder " + folder.file("absent") + " does not exist"));
  CHECK(refusal({{"--out", folder.file("tables")}}, inputs)
            .ends_with("is a folder; give the path of a file"));
  const std::string twice = folder.file("twice");
  CHECK(refusal({{"--out", twice}, {"--points", folder.file("tables/../twice")}}, inputs)
            .ends_with("is already the file of --out; give another path"));
  CHECK(
      refusal({{"--out", "/dev/null"}, {"--points", "/dev/null"}}, {{"in", "/dev/null"}}).empty());
}

}  // namespace moesim
