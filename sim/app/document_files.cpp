#include "sim/app/document_files.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

namespace moesim {
namespace {

void add_files(const nlohmann::json& value, std::vector<NamedFile>& files) {
  if (value.is_structured()) {
    for (const nlohmann::json& inner : value) {
      add_files(inner, files);
    }
  } else if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    std::error_code error;
    for (const std::string& path : {text, text.substr(0, text.rfind('['))}) {
      if (std::filesystem::is_regular_file(path, error)) {
        files.push_back({"file", path});
        return;
      }
    }
  }
}

}  // namespace

std::vector<NamedFile> files_of_document(const std::string& path, const nlohmann::json& document) {
  std::vector<NamedFile> files{{"file", path}};
  add_files(document, files);
  return files;
}

}  // namespace moesim
