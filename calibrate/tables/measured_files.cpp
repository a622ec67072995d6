// Where measured files lie and what their names say.
#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>

#include "calibrate/tables/kernel_rows.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

namespace fs = std::filesystem;

using Parts = std::vector<std::string>;

// The projects' short names of what the catalog calls otherwise.
struct ShortName {
  std::string_view name;
  std::string_view system;
};
constexpr std::array short_names{
    ShortName{"a100", "a100_sxm"},      ShortName{"a800", "a800_sxm"},
    ShortName{"b200", "b200_sxm"},      ShortName{"b300", "b300_sxm"},
    ShortName{"h100", "h100_sxm"},      ShortName{"h200", "h200_sxm"},
    ShortName{"h800", "h800_sxm"},      ShortName{"rtx4090", "rtx_4090"},
    ShortName{"rtxa6000", "rtx_a6000"}, ShortName{"rtxpro6000", "rtx_pro_6000_server"}};

std::string system_of(const std::string& name) {
  std::string lower = name;
  std::ranges::transform(lower, lower.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto* const found = std::ranges::find(short_names, lower, &ShortName::name);
  return found == short_names.end() ? lower : std::string(found->system);
}

// The file name without ".csv", cut at "__".
Parts parts_of(const std::string& stem) {
  Parts parts;
  std::size_t begin = 0;
  for (;;) {
    const std::size_t end = stem.find("__", begin);
    parts.push_back(stem.substr(begin, end - begin));
    if (end == std::string::npos) {
      return parts;
    }
    begin = end + 2;
  }
}

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::ranges::find(words, word) != words.end();
}

// <system>/<operation>__<framework>-<version>.csv
std::optional<MeasuredFile> main_layout(const Parts& parts, const std::string& folder) {
  const std::size_t dash = parts.back().find('-');
  if (parts.size() != 2 || dash == std::string::npos || dash == 0) {
    return std::nullopt;
  }
  MeasuredFile file;
  file.layout = "main";
  file.operation = parts[0];
  file.system = folder;
  file.framework = parts[1].substr(0, dash);
  file.version = parts[1].substr(dash + 1);
  return file;
}

// gemm__<system>.csv, grouped_gemm__<phase>__<system>.csv,
// <attention>__<phase>__<system>__<widths>.csv
std::optional<MeasuredFile> infersim(const Parts& parts, const std::string& /*folder*/) {
  const bool dense = parts.size() == 2 && parts[0] == "gemm";
  const bool phase = parts.size() >= 3 && is_one_of(parts[1], {"prefill", "decode"});
  const bool grouped = phase && parts.size() == 3 && parts[0] == "grouped_gemm";
  const bool attention =
      phase && parts.size() == 4 && is_one_of(parts[0], {"mha", "mla", "dsa", "gdn"});
  if (!dense && !grouped && !attention) {
    return std::nullopt;
  }
  MeasuredFile file;
  file.layout = file.framework = "infersim";
  file.operation = dense ? parts[0] : parts[0] + "_" + parts[1];
  file.system = system_of(parts[dense ? 1 : 2]);
  file.subject = attention ? parts[3] : "";
  return file;
}

// <system>__<model>__tp<n>__<what>.csv
std::optional<MeasuredFile> llmservingsim(const Parts& parts, const std::string& /*folder*/) {
  if (parts.size() != 4 || !parts[2].starts_with("tp") ||
      !is_one_of(parts[3], {"dense", "attention", "moe", "per_sequence"})) {
    return std::nullopt;
  }
  MeasuredFile file;
  file.layout = file.framework = "llmservingsim";
  file.operation = parts[3];
  file.system = system_of(parts[0]);
  file.subject = parts[1] + "/" + parts[2];
  return file;
}

// <system>/<model>__<what>.csv
std::optional<MeasuredFile> frontier(const Parts& parts, const std::string& folder) {
  if (parts.size() != 2 || !is_one_of(parts[1], {"moe", "moe_kernel_only", "attention_kernel_only",
                                                 "linear_op_kernel_only"})) {
    return std::nullopt;
  }
  MeasuredFile file;
  file.layout = file.framework = "frontier";
  file.operation = parts[1];
  file.system = system_of(folder);
  file.subject = parts[0];
  return file;
}

// <system>__<model>__mlp.csv
std::optional<MeasuredFile> vidur(const Parts& parts, const std::string& /*folder*/) {
  if (parts.size() != 3 || parts[2] != "mlp") {
    return std::nullopt;
  }
  MeasuredFile file;
  file.layout = file.framework = "vidur";
  file.operation = parts[2];
  file.system = system_of(parts[0]);
  file.subject = parts[1];
  return file;
}

using Layout = std::optional<MeasuredFile> (*)(const Parts& parts, const std::string& folder);
constexpr std::array<Layout, 5> layouts{main_layout, frontier, infersim, llmservingsim, vidur};

MeasuredFile described(const std::string& path) {
  const Parts parts = parts_of(fs::path(path).stem().string());
  const std::string folder =
      fs::absolute(path).lexically_normal().parent_path().filename().string();
  MeasuredFile file;
  file.operation = parts[0];
  for (const Layout layout : layouts) {
    if (auto found = layout(parts, folder)) {
      file = *found;
      break;
    }
  }
  file.path = path;
  return file;
}

}  // namespace

std::vector<MeasuredFile> measured_files(const std::string& dir) {
  std::error_code error;
  std::vector<std::string> paths;
  fs::recursive_directory_iterator walk(dir, error);
  if (error) {
    throw ConfigError(dir, "is not a folder that can be read");
  }
  for (const auto& entry : walk) {
    if (entry.is_regular_file() && entry.path().extension() == ".csv") {
      paths.push_back(entry.path().generic_string());
    }
  }
  if (paths.empty()) {
    throw ConfigError(dir, "holds no *.csv; expected SYSTEM/OPERATION__FRAMEWORK-VERSION.csv");
  }
  std::ranges::sort(paths);
  std::vector<MeasuredFile> files;
  files.reserve(paths.size());
  std::ranges::transform(paths, std::back_inserter(files), described);
  return files;
}

}  // namespace moesim
