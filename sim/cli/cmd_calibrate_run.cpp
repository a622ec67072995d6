// moesim calibrate run: microbenchmarks of this machine.
#include <array>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "calibrate/cpu/host_profile.h"
#include "calibrate/cpu/host_tables.h"
#include "calibrate/cpu/micro_run.h"
#include "sim/cli/command_line.h"
#include "sim/core/error.h"
#include "sim/core/output_file.h"

namespace moesim {
namespace {

struct Options {
  MicroRunOptions run;
};

int run_cpu(const MicroRunOptions& options) {
  std::vector<MicroRunResult> results;
  {
    ProgressBar progress("measuring");
    const auto families = static_cast<double>(options.families.empty() ? micro_families().size()
                                                                       : options.families.size());
    std::string current;
    double done = -1.0;
    results = run_microbenchmarks(options, [&](const std::string& family, double share) {
      done += family == current ? 0.0 : 1.0;
      current = family;
      progress.show((done + share) / families);
    });
  }
  for (const MicroRunResult& result : results) {
    std::cout << result.path << " " << result.rows << " rows" << (result.kept ? " (kept)" : "")
              << (result.left_out > 0 ? ", " + std::to_string(result.left_out) +
                                            " kernels left out: " + k_no_direct_reads
                                      : "")
              << "\n";
  }
  return 0;
}

// The benchmark's output and exit status are ours.
int run_cuda(const std::vector<std::string>& arguments) {
  const auto program =
      std::filesystem::read_symlink("/proc/self/exe").parent_path() / "moesim-cuda-bench";
  if (!std::filesystem::exists(program)) {
    throw ConfigError(program.string(),
                      "is not there; it is built where the CUDA toolkit (nvcc) is found: install "
                      "the toolkit and run ./dev build");
  }
  std::vector<std::string> words{program.string()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return run_program(words, {});
}

int fit_host(const std::string& folder, const std::string& out) {
  check_outputs(std::array{NamedFile{"--out", out}}, std::array{NamedFile{"dir", folder, ".csv"}});
  const std::vector<HostTable> tables = read_host_tables(folder);
  const HostProfile profile = fit_host_profile(rows_of(tables), tables.back().table.source, folder);
  write_text_file(out, host_profile_json(profile).dump(1) + "\n");
  std::cout << out << "\n";
  return 0;
}

}  // namespace

void add_calibrate_run_command(CLI::App& calibrate, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* run = calibrate.add_subcommand("run", "microbenchmarks of this machine, as CSV files");
  run->require_subcommand(1);
  CLI::App* cpu = run->add_subcommand("cpu", "processor, memory and disk");
  cpu->add_option("--out", options->run.out,
                  "folder for FAMILY.csv; finished families in it are kept")
      ->required()
      ->type_name("DIR");
  cpu->add_option("--only", options->run.families, "families to measure (default: all)")
      ->type_name("FAMILY");
  cpu->add_option("--scratch", options->run.scratch_folder,
                  "folder on the disk to measure (default: that of --out)")
      ->type_name("DIR");
  cpu->add_flag("--quick", options->run.quick, "fewer sizes and repeats");
  std::string families = "Families:\n";
  for (const MicroFamily& family : micro_families()) {
    families += "  " + std::string(family.name) + ": " + std::string(family.summary) + "\n";
  }
  cpu->footer(families + "Example:\n  moesim calibrate run cpu --out measured/this_host");
  cpu->callback([options, &command] { command.run = [options] { return run_cpu(options->run); }; });
  CLI::App* cuda =
      run->add_subcommand("cuda", "GPU: starts moesim-cuda-bench with these arguments");
  cuda->prefix_command();
  cuda->callback([cuda, &command] {
    command.run = [arguments = cuda->remaining()] { return run_cuda(arguments); };
  });
}

void add_calibrate_host_command(CLI::App& calibrate, Command& command) {
  auto folder = std::make_shared<std::string>();
  auto out = std::make_shared<std::string>();
  CLI::App* sub = calibrate.add_subcommand("host", "profile of a machine from its microbenchmarks");
  sub->add_option("dir", *folder, "folder of moesim calibrate run cpu")
      ->required()
      ->type_name("DIR");
  sub->add_option("--out", *out, "file for the profile")->required()->type_name("FILE");
  sub->footer(
      "Example:\n  moesim calibrate host measured/this_host --out this_host.json\n"
      "  moesim validate host --profile this_host.json");
  sub->callback(
      [folder, out, &command] { command.run = [folder, out] { return fit_host(*folder, *out); }; });
}

}  // namespace moesim
