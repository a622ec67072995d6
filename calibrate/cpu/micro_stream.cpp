// Memory bandwidth by working set: McCalpin's copy and triad, a read, and memcpy.
#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "calibrate/cpu/micro_case.h"

namespace moesim::detail {
namespace {

constexpr std::int64_t k_kib = 1024;

struct Arrays {
  std::unique_ptr<float[], FreeMemory> memory;
  float sink = 0.0F;
};

void copy(float* a, const float* b, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    a[i] = b[i];
  }
}

void triad(float* a, const float* b, const float* c, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    a[i] = b[i] + 3.0F * c[i];
  }
}

// Several sums, so that the additions' latency does not limit the rate.
float sum(const float* a, std::size_t n) {
  float s[16] = {};
  for (std::size_t i = 0; i + 16 <= n; i += 16) {
    for (std::size_t j = 0; j < 16; ++j) {
      s[j] += a[i + j];
    }
  }
  float total = 0.0F;
  for (const float part : s) {
    total += part;
  }
  return total;
}

MicroCase stream_case(const MicroMachine& machine, const std::string& kernel, int threads,
                      std::int64_t working_set) {
  const auto floats = static_cast<std::size_t>(working_set / 4 / threads);
  auto data = std::make_shared<std::vector<Arrays>>(static_cast<std::size_t>(threads));
  for (Arrays& one : *data) {
    one.memory = aligned_floats(floats);
    std::fill_n(one.memory.get(), floats, 1.0F);
  }
  const int calls = static_cast<int>(std::max<std::int64_t>(1, 1024 * k_kib / working_set));
  return {{kernel, threads, 0, 0, 0, working_set, 1}, [=, &machine] {
            TimedSample sample = machine.team.run(threads, [&](int rank) {
              Arrays& mine = (*data)[static_cast<std::size_t>(rank)];
              float* a = mine.memory.get();
              for (int i = 0; i < calls; ++i) {
                if (kernel == "stream_copy") {
                  copy(a, a + floats / 2, floats / 2);
                } else if (kernel == "stream_triad") {
                  triad(a, a + floats / 3, a + floats / 3 * 2, floats / 3);
                } else if (kernel == "memcpy") {
                  std::memcpy(a, a + floats / 2, floats / 2 * sizeof(float));
                } else {
                  mine.sink += sum(a, floats);
                }
              }
            });
            sample.seconds /= calls;
            return sample;
          }};
}

}  // namespace

std::vector<MicroCase> stream_cases(const MicroMachine& machine, bool quick) {
  const std::vector<std::int64_t> sizes =
      quick
          ? std::vector<std::int64_t>{24 * k_kib, 512 * k_kib, 8 * 1024 * k_kib, 96 * 1024 * k_kib}
          : std::vector<std::int64_t>{12 * k_kib,        24 * k_kib,        96 * k_kib,
                                      384 * k_kib,       768 * k_kib,       3 * 1024 * k_kib,
                                      12 * 1024 * k_kib, 24 * 1024 * k_kib, 48 * 1024 * k_kib,
                                      96 * 1024 * k_kib, 192 * 1024 * k_kib};
  std::vector<MicroCase> cases;
  for (const char* kernel : {"stream_copy", "stream_triad", "stream_read", "memcpy"}) {
    for (const std::int64_t size : sizes) {
      for (int threads = 1; threads <= machine.team.size(); threads *= 2) {
        cases.push_back(stream_case(machine, kernel, threads, size));
      }
    }
  }
  return cases;
}

}  // namespace moesim::detail
