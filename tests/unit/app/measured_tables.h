// Made-up tables of measurements, as users bring them.
#pragma once

#include <algorithm>
#include <array>
#include <filesystem>
#include <string>

#include "sim/core/output_file.h"
#include "sim/core/quantity_text.h"
#include "tests/support/temporary_folder.h"

namespace moesim::test {

// Products at 80 % of the bandwidth or half the peak, like no shipped profile.
inline void write_products(const TemporaryFolder& folder) {
  constexpr std::array<double, 7> all_m{1, 4, 16, 64, 256, 1024, 4096};
  constexpr std::array<std::array<double, 2>, 4> widths{
      {{1024, 2048}, {4096, 4096}, {8192, 1024}, {2048, 8192}}};
  std::string text = "# source: made\nkernel_source,gemm_dtype,m,n,k,latency_ms\n";
  for (const double m : all_m) {
    for (const auto& [n, k] : widths) {
      const double seconds =
          3e-6 + std::max(2 * m * n * k / 0.5e15, 2 * (m * k + n * k + m * n) / 2.7e12);
      text += "cublas,bfloat16," + format_number(m) + "," + format_number(n) + "," +
              format_number(k) + "," + format_number(seconds * 1e3) + "\n";
    }
  }
  std::filesystem::create_directories(folder.path() / "h100_sxm");
  write_text_file(folder.file("h100_sxm/gemm__moesim-7.csv"), text);
}

// All-reduces at half the link's rate.
inline void write_all_reduces(const TemporaryFolder& folder) {
  std::string text = "# source: made\nnccl_dtype,num_gpus,message_elements,op_name,latency_ms\n";
  for (const int gpus : {2, 4, 8}) {
    for (int log_elements = 8; log_elements < 28; ++log_elements) {
      const double elements = static_cast<double>(std::int64_t{1} << log_elements);
      const double seconds = 8e-6 + 2.0 * (gpus - 1) / gpus * 2 * elements / 225e9;
      text += "half," + std::to_string(gpus) + "," + format_number(elements) + ",all_reduce," +
              format_number(seconds * 1e3) + "\n";
    }
  }
  std::filesystem::create_directories(folder.path() / "h100_sxm");
  write_text_file(folder.file("h100_sxm/nccl-9.9.csv"), text);
}

}  // namespace moesim::test
