#include "sim/cli/command_line.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <thread>

#include "sim/app/catalog.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

namespace fs = std::filesystem;

std::string with_digits(double value, const char* unit) {
  std::array<char, 64> buffer{};
  const double magnitude = std::abs(value);
  const int decimals = magnitude >= 100 ? 0 : magnitude >= 10 ? 1 : 2;
  std::snprintf(buffer.data(), buffer.size(), "%.*f%s%s", decimals, value, *unit == '\0' ? "" : " ",
                unit);
  return buffer.data();
}

}  // namespace

void CommonOptions::add_json(CLI::App& app) {
  app.add_flag("--json", json, "print one JSON document instead of a table");
}

void CommonOptions::add_catalog(CLI::App& app) {
  app.add_option("--catalog", catalog,
                 "further catalog folder, laid out like the source tree (hardware/catalog, ...)")
      ->type_name("DIR");
}

void CommonOptions::add_threads(CLI::App& app) {
  threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  app.add_option("--threads", threads, "worker threads; results do not depend on it")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
}

std::string data_root() {
  std::error_code failure;
  const fs::path binary = fs::read_symlink("/proc/self/exe", failure);
  for (fs::path folder = binary.parent_path(); !folder.empty(); folder = folder.parent_path()) {
    for (const fs::path& root : {folder, folder / "share" / "moesim"}) {
      if (fs::is_directory(root / "hardware" / "catalog")) {
        return root.string();
      }
    }
    if (folder == folder.root_path()) {
      break;
    }
  }
  throw ConfigError(binary.string(),
                    "no folder above it has hardware/catalog; keep the binary in its build or "
                    "installation tree");
}

void print_warnings(const std::vector<std::string>& warnings) {
  for (const std::string& text : warnings) {
    std::cerr << "moesim: " << text << "\n";
  }
}

CatalogFolders catalogs_of(const CommonOptions& options) {
  std::vector<std::string> roots = options.catalog;
  roots.push_back(data_root());
  CatalogFolders folders = catalog_folders(roots);
  const std::vector<std::string> preferred = preferred_files(folders);
  if (!preferred.empty()) {
    std::cerr << "moesim: used instead of entries of the same name in later catalogs: "
              << joined(preferred) << "\n";
  }
  return folders;
}

Table::Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }

void Table::row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

std::string Table::text() const {
  std::vector<std::size_t> width;
  for (const auto& cells : rows_) {
    width.resize(std::max(width.size(), cells.size()));
    for (std::size_t c = 0; c < cells.size(); ++c) {
      width[c] = std::max(width[c], cells[c].size());
    }
  }
  std::string text;
  for (const auto& cells : rows_) {
    std::string line;
    for (std::size_t c = 0; c < cells.size(); ++c) {
      const std::string pad(width[c] - cells[c].size(), ' ');
      line += c == 0 ? cells[c] + pad : "  " + pad + cells[c];  // names left, figures right
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string human_seconds(double seconds) {
  if (seconds >= 1 || seconds == 0) {
    return with_digits(seconds, "s");
  }
  return seconds >= 1e-3 ? with_digits(seconds * 1e3, "ms") : with_digits(seconds * 1e6, "us");
}

std::string human_seconds_between(double seconds, double p10, double p90) {
  const std::string text = human_seconds(seconds);
  const double factor = text.ends_with(" ms") ? 1e3 : text.ends_with(" us") ? 1e6 : 1.0;
  return text + " (p10-p90 " + with_digits(p10 * factor, "") + "-" + with_digits(p90 * factor, "") +
         ")";
}

std::string human_bytes(double bytes) {
  constexpr std::array units{"B", "kB", "MB", "GB", "TB", "PB"};
  std::size_t unit = 0;
  while (std::abs(bytes) >= 1000 && unit + 1 < units.size()) {
    bytes /= 1000;
    ++unit;
  }
  return with_digits(bytes, units.at(unit));
}

std::string human_count(double value) {
  if (std::abs(value) >= 1e6) {
    return with_digits(value / 1e6, "M");
  }
  return std::abs(value) >= 1e4 ? with_digits(value / 1e3, "k") : with_digits(value, "");
}

std::string percent(double share) { return with_digits(share * 100, "%"); }

ProgressBar::ProgressBar(std::string title)
    : title_(std::move(title)), visible_(::isatty(STDERR_FILENO) != 0) {}

ProgressBar::~ProgressBar() {
  if (visible_ && shown_percent_ >= 0) {
    std::cerr << "\r\033[K" << std::flush;
  }
}

void ProgressBar::show(double share) {
  const int whole = static_cast<int>(std::clamp(share, 0.0, 1.0) * 100);
  if (!visible_ || whole == shown_percent_) {
    return;
  }
  shown_percent_ = whole;
  constexpr int width = 40;
  const std::string bar(static_cast<std::size_t>(whole * width / 100), '#');
  std::cerr << "\r" << title_ << " [" << bar << std::string(width - bar.size(), '.') << "] "
            << whole << " %" << std::flush;
}

}  // namespace moesim
