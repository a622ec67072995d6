// moesim-cuda-bench: measures the kernels, copies and collectives of one node's NVIDIA devices.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <map>
#include <optional>
#include <system_error>

#include "calibrate/cuda/device/check_libraries.h"
#include "calibrate/cuda/families.h"
#include "calibrate/cuda/host/system_name.h"
#include "sim/core/error.h"

namespace {

using namespace moesim::bench;

enum Exit { done = 0, run_failed = 1, bad_input = 2, internal_error = 3 };

struct Arguments {
  std::string out;
  std::optional<std::string> system;
  std::vector<std::string> only;
  bool quick = false;
  bool list = false;
  bool dry_run = false;
};

// Of a dry run, which knows no node.
constexpr int assumed_devices = 8;

std::vector<Family> chosen(const Arguments& arguments) {
  std::vector<Family> rows;
  for (const Family& family : families()) {
    if (arguments.only.empty() ||
        std::ranges::find(arguments.only, family.name) != arguments.only.end()) {
      rows.push_back(family);
    }
  }
  return rows;
}

void list_families() {
  for (const Family& family : families()) {
    std::printf("%-12s %s\n", std::string(family.name).c_str(),
                std::string(family.summary).c_str());
  }
}

void dry_run(const Arguments& arguments) {
  std::printf("%-12s %-22s %8s %22s\n", "family", "table", "cases", "largest case, bytes");
  std::size_t all = 0;
  for (const Family& family : chosen(arguments)) {
    struct Sum {
      std::size_t cases = 0;
      double largest = 0;
    };
    std::map<std::string, Sum> tables;
    for (const PlannedCase& plan : family.plan(assumed_devices, arguments.quick)) {
      Sum& sum = tables[plan.table->name];
      ++sum.cases;
      sum.largest = std::max(sum.largest, plan.device_memory.si());
    }
    for (const auto& [table, sum] : tables) {
      std::printf("%-12s %-22s %8zu %22.0f\n", std::string(family.name).c_str(), table.c_str(),
                  sum.cases, sum.largest);
      all += sum.cases;
    }
  }
  std::printf("%zu cases; a node of %d devices is assumed\n", all, assumed_devices);
}

// On a terminal only: the share of cases that were looked at, and the one at hand.
class Progress {
 public:
  explicit Progress(std::size_t total) : total_(total), visible_(::isatty(STDERR_FILENO) != 0) {}
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() {
    if (visible_) {
      std::fputs("\r\033[K", stderr);
    }
  }
  void next(const PlannedCase& plan) {
    if (visible_) {
      constexpr std::size_t width = 30;
      const std::size_t filled = width * std::min(at_, total_) / std::max<std::size_t>(total_, 1);
      const std::string bar = std::string(filled, '#') + std::string(width - filled, '.');
      std::fprintf(stderr, "\r\033[K[%s] %zu/%zu %s %s", bar.c_str(), at_ + 1, total_,
                   plan.table->name.c_str(), moesim::joined(plan.key).substr(0, 60).c_str());
    }
    ++at_;
  }

 private:
  std::size_t total_;
  std::size_t at_ = 0;
  bool visible_;
};

std::string version_text(int number) {
  return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

std::string today() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::localtime_r(&now, &parts);
  std::array<char, 16> buffer{};
  const std::size_t size = std::strftime(buffer.data(), buffer.size(), "%Y-%m-%d", &parts);
  return {buffer.data(), size};
}

// Throws DeviceError when there is no device that can be used.
int device_count() {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code != cudaSuccess || count == 0) {
    throw DeviceError(std::string("no NVIDIA device can be used: ") +
                      (code == cudaSuccess ? "none is there" : cudaGetErrorString(code)) +
                      "; --dry-run and --list need none");
  }
  return count;
}

DeviceFacts facts_of(int device, int devices, const Clocks& clocks) {
  cudaDeviceProp properties{};
  MOESIM_CHECK(cudaGetDeviceProperties(&properties, device));
  std::size_t free_bytes = 0;
  std::size_t total_bytes = 0;
  MOESIM_CHECK(cudaMemGetInfo(&free_bytes, &total_bytes));
  int runtime = 0;
  MOESIM_CHECK(cudaRuntimeGetVersion(&runtime));
  return {properties.name, clocks.driver_version(), version_text(runtime),
          clocks.sm_mhz(), clocks.memory_mhz(),     moesim::Bytes(static_cast<double>(free_bytes)),
          devices};
}

std::string nccl_version() {
  int version = 0;
  MOESIM_CHECK(ncclGetVersion(&version));
  return std::to_string(version / 10000) + "." + std::to_string(version % 10000 / 100) + "." +
         std::to_string(version % 100);
}

int measure(const Arguments& arguments) {
  const int devices = device_count();
  constexpr int device = 0;
  MOESIM_CHECK(cudaSetDevice(device));
  const Clocks clocks(device);
  const DeviceFacts facts = facts_of(device, devices, clocks);
  const std::string system = arguments.system ? *arguments.system : guess_system_name(facts.name);
  Session session({arguments.out, system, MOESIM_VERSION, nccl_version(), today()}, facts);
  std::size_t cases = 0;
  for (const Family& family : chosen(arguments)) {
    cases += family.plan(devices, arguments.quick).size();
  }
  {
    Progress progress(cases);
    Bench bench(session, clocks, arguments.quick, devices,
                [&](const PlannedCase& plan) { progress.next(plan); });
    for (const Family& family : chosen(arguments)) {
      family.run(bench);
    }
  }
  const RunSummary& summary = session.summary();
  std::printf("%s: %lld rows measured, %lld kept from earlier runs, in %s/%s\n", facts.name.c_str(),
              static_cast<long long>(summary.measured), static_cast<long long>(summary.kept),
              arguments.out.c_str(), system.c_str());
  for (const auto& [reason, count] : summary.left_out) {
    std::printf("%lld cases left out: %s\n", static_cast<long long>(count), reason.c_str());
  }
  return done;
}

int run(const Arguments& arguments) {
  if (arguments.system) {
    check_system_name(*arguments.system);
  }
  if (arguments.list) {
    list_families();
    return done;
  }
  if (arguments.dry_run) {
    dry_run(arguments);
    return done;
  }
  if (arguments.out.empty()) {
    throw moesim::ConfigError("--out", "is missing; give the folder that the tables go to");
  }
  return measure(arguments);
}

int guarded(const Arguments& arguments) {
  try {
    return run(arguments);
  } catch (const moesim::ConfigError& error) {
    std::cerr << "moesim-cuda-bench: " << error.what() << "\n";
    return bad_input;
  } catch (const DeviceError& error) {
    std::cerr << "moesim-cuda-bench: " << error.what() << "\n";
    return run_failed;
  } catch (const std::system_error& error) {
    std::cerr << "moesim-cuda-bench: " << error.what() << "\n";
    return run_failed;
  } catch (const std::exception& error) {
    std::cerr << "moesim-cuda-bench: internal error, please report it with the command line: "
              << error.what() << "\n";
    return internal_error;
  }
}

// `status`, or that of a failed run if a full disk or a reader that has gone lost some of stdout.
int with_stdout_checked(int status) {
  std::cout.flush();
  if (std::cout && std::fflush(stdout) == 0 && std::ferror(stdout) == 0) {
    return status;
  }
  std::cerr << "moesim-cuda-bench: cannot write all of the output to stdout\n";
  return status == done ? run_failed : status;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app{"Measures NVIDIA devices for moesim: kernels, copies, collectives."};
  app.name("moesim-cuda-bench");
  app.set_version_flag("--version", "moesim-cuda-bench " MOESIM_VERSION);
  app.add_option("--out", arguments.out, "folder; tables go to OUT/SYSTEM/");
  app.add_option("--system", arguments.system,
                 "name in the hardware catalogue (default: guessed from the device's name)");
  std::vector<std::string> names;
  for (const Family& family : families()) {
    names.emplace_back(family.name);
  }
  app.add_option("--only", arguments.only, "families to measure (default: all); see --list")
      ->check(CLI::IsMember(names));
  app.add_flag("--quick", arguments.quick, "few cases, short repeats: does everything work?");
  app.add_flag("--list", arguments.list, "print the families and end");
  app.add_flag("--dry-run", arguments.dry_run,
               "print how many cases there are and what they need; needs no device");
  app.footer(
      "Examples:\n"
      "  moesim-cuda-bench --out measured --quick\n"
      "  moesim-cuda-bench --out measured --only gemm moe --system h100_sxm\n"
      "  moesim calibrate fit measured --out profiles --date 2026-11\n"
      "  moesim validate kernels measured\n"
      "A run that was ended goes on where it stopped when it is started again.\n"
      "Exit status: 0 done, 1 run failed (no device), 2 bad input, 3 internal error.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return with_stdout_checked(app.exit(error, std::cout, std::cerr) == 0 ? done : bad_input);
  }
  return with_stdout_checked(guarded(arguments));
}
