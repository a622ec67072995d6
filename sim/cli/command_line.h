// What every command shares: where catalogs are, the usual options, tables and progress.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "sim/app/catalog.h"

namespace moesim {

// A command registers itself on the application and leaves in `run` what to do.
struct Command {
  std::function<int()> run;  // exit status
};

struct CommonOptions {
  bool json = false;
  std::vector<std::string> catalog;  // further folders, laid out like the source tree
  int threads = 1;

  void add_json(CLI::App& app);
  void add_catalog(CLI::App& app);
  void add_threads(CLI::App& app);
};

// Root of the installation or source tree that this binary belongs to: the nearest folder above
// the executable that has hardware/catalog. Throws ConfigError when there is none.
std::string data_root();

// The catalogs of --catalog, in their order, then the shipped ones: the first that has a name is
// used. Says on stderr, in one line, which of their files are used instead of others.
CatalogFolders catalogs_of(const CommonOptions& options);

// One line each on stderr, for commands whose report has no place for them.
void print_warnings(const std::vector<std::string>& warnings);

// Column-aligned text for people.
class Table {
 public:
  explicit Table(std::vector<std::string> header);
  void row(std::vector<std::string> cells);
  [[nodiscard]] std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// "12.3 ms", "4.56 GB", "14.8 k": three significant digits with a unit prefix.
std::string human_seconds(double seconds);
// "75.3 ms (p10-p90 68.1-83.2)".
std::string human_seconds_between(double seconds, double p10, double p90);
std::string human_bytes(double bytes);
std::string human_count(double value);
std::string percent(double share);

// A bar on stderr if that is a terminal; else nothing. Finished by the destructor.
class ProgressBar {
 public:
  explicit ProgressBar(std::string title);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  void show(double share);

 private:
  std::string title_;
  bool visible_;
  int shown_percent_ = -1;
};

// Runs a program (words[0]: its path) with its output on ours and further environment variables
// ("NAME=value"); its exit status, or 1 after a signal. Throws std::system_error when it cannot be
// started.
int run_program(std::vector<std::string> words, const std::vector<std::string>& variables);

// One per command; each adds its subcommand to the application.
void add_simulate_command(CLI::App& app, Command& command);
void add_trace_command(CLI::App& app, Command& command);
void add_validate_command(CLI::App& app, Command& command);
void add_calibrate_command(CLI::App& app, Command& command);
void add_place_command(CLI::App& app, Command& command);
void add_plan_command(CLI::App& app, Command& command);
void add_report_command(CLI::App& app, Command& command);
void add_reproduce_command(CLI::App& app, Command& command);
void add_catalog_command(CLI::App& app, Command& command);
// Below `calibrate` and `validate`.
void add_calibrate_run_command(CLI::App& calibrate, Command& command);
void add_calibrate_host_command(CLI::App& calibrate, Command& command);
void add_validate_host_command(CLI::App& validate, Command& command);
void add_validate_steps_command(CLI::App& validate, Command& command);
void add_validate_training_command(CLI::App& validate, Command& command);

}  // namespace moesim
