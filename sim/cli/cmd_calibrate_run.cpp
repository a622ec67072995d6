// moesim calibrate run: microbenchmarks of this machine.
#include <array>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "sim/app/calibrate.h"
#include "sim/cli/command_line.h"
#include "sim/core/error.h"
#include "sim/core/output_file.h"

namespace moesim {
namespace {

int run_cpu(CalibrateRunOptions options) {
  std::vector<MeasuredFamily> measured;
  {
    ProgressBar progress("measuring");
    options.progress = [&progress](double share) { progress.show(share); };
    measured = calibrate_run(options);
  }
  for (const MeasuredFamily& family : measured) {
    std::cout << family.path << " " << family.rows << " rows" << (family.kept ? " (kept)" : "");
    if (family.left_out > 0) {
      std::cout << ", " << family.left_out << " kernels left out: " << family.why;
    }
    std::cout << "\n";
  }
  return 0;
}

// The benchmark's output and exit status are ours.
int run_cuda(const std::vector<std::string>& arguments) {
  const auto program =
      std::filesystem::read_symlink("/proc/self/exe").parent_path() / "moesim-cuda-bench";
  if (!std::filesystem::exists(program)) {
    throw ConfigError(program.string(),
                      "is not there; it is built where the "
                      "CUDA toolkit (nvcc) is found: install "
                      "the toolkit and run ./dev build");
  }
  std::vector<std::string> words{program.string()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return run_program(words, {});
}

int fit_host(const std::string& folder, const std::string& out) {
  check_outputs(std::array{NamedFile{"--out", out}}, std::array{NamedFile{"dir", folder, ".csv"}});
  write_text_file(out, host_profile_json(calibrate_host(folder)).dump(1) + "\n");
  std::cout << out << "\n";
  return 0;
}

}  // namespace

void add_calibrate_run_command(CLI::App& calibrate, Command& command) {
  auto options = std::make_shared<CalibrateRunOptions>();
  CLI::App* run = calibrate.add_subcommand("run", "microbenchmarks of this machine, as CSV files");
  run->require_subcommand(1);
  CLI::App* cpu = run->add_subcommand("cpu", "processor, memory and disk");
  cpu->add_option("--out", options->out, "folder for FAMILY.csv; finished families in it are kept")
      ->required()
      ->type_name("DIR");
  cpu->add_option("--only", options->families, "families to measure (default: all)")
      ->type_name("FAMILY");
  cpu->add_option("--scratch", options->scratch_folder,
                  "folder on the disk to measure (default: that of --out)")
      ->type_name("DIR");
  cpu->add_flag("--quick", options->quick, "fewer sizes and repeats");
  std::string families = "Families:\n";
  for (const auto& [name, summary] : calibrate_families()) {
    families += "  " + std::string(name) + ": " + std::string(summary) + "\n";
  }
  cpu->footer(families + "Example:\n  moesim calibrate run cpu --out measured/this_host");
  cpu->callback([options, &command] { command.run = [options] { return run_cpu(*options); }; });
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
      "Example:\n  moesim calibrate host measured/this_host --out "
      "this_host.json\n"
      "  moesim validate host --profile this_host.json");
  sub->callback(
      [folder, out, &command] { command.run = [folder, out] { return fit_host(*folder, *out); }; });
}

}  // namespace moesim
