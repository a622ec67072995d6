// Reads of expert weights from a file: from the device and from the page cache, one reader or
// several at once.
#include <algorithm>
#include <initializer_list>
#include <memory>
#include <string_view>
#include <vector>

#include "calibrate/cpu/expert_file.h"
#include "calibrate/cpu/micro_case.h"

namespace moesim::detail {
namespace {

constexpr std::int64_t k_kib = 1024;

// Reads go to one slot after the other of a cache of experts. Its memory is large enough for huge
// pages: into scattered small ones some devices read at a third of the rate. All cases share it.
using Caches = std::vector<std::unique_ptr<float[], FreeMemory>>;  // by reader
struct Reader {
  std::int64_t next = 0;
  std::int64_t slot = 0;
  float sink = 0.0F;
};
constexpr std::int64_t k_small_cache = 4608 * k_kib;
constexpr std::int64_t k_large_cache = 36 * 1024 * k_kib;

// Reads from the first `part` of the file into a cache of that many bytes.
struct Places {
  std::int64_t part = 0;
  std::int64_t cache = 0;
};

MicroCase disk_case(const MicroMachine& machine, const std::string& kernel, int queue,
                    std::int64_t bytes, Places where, const std::shared_ptr<const Caches>& caches) {
  auto readers = std::make_shared<std::vector<Reader>>(static_cast<std::size_t>(queue));
  const std::int64_t places = where.part / bytes;
  // Layers read their experts in order. Where the system would read ahead, a stride that wanders
  // over the whole file prevents it.
  const bool in_order = kernel == "disk_direct" || kernel == "disk_warm";
  const std::int64_t stride = in_order ? 1 : places / 2 + 1;
  const std::int64_t slots = std::max<std::int64_t>(1, where.cache / bytes);
  for (std::size_t r = 0; r < readers->size(); ++r) {
    (*readers)[r].next = static_cast<std::int64_t>(r) * places / queue;
  }
  return {{kernel, queue, 0, bytes, 0, where.part + queue * slots * bytes, queue}, [=, &machine] {
            const TimedSample sample = machine.team.run(queue, [&](int rank) {
              Reader& reader = (*readers)[static_cast<std::size_t>(rank)];
              reader.next = (reader.next + stride) % places;
              const std::int64_t offset = reader.next * bytes;
              reader.slot = (reader.slot + 1) % slots;
              float* to =
                  (*caches)[static_cast<std::size_t>(rank)].get() + reader.slot * (bytes / 4);
              if (kernel == "disk_mmap_cold" || kernel == "disk_mmap_warm") {
                machine.file.read_mapped(offset, bytes, to, kernel == "disk_mmap_cold");
              } else {
                machine.file.read(offset, bytes, to,
                                  kernel == "disk_direct"    ? ReadMode::cold_direct
                                  : kernel == "disk_dropped" ? ReadMode::cold_dropped
                                                             : ReadMode::warm);
              }
            });
            // An expert is read to be used.
            machine.team.run(queue, [&](int rank) {
              Reader& reader = (*readers)[static_cast<std::size_t>(rank)];
              const float* cache = (*caches)[static_cast<std::size_t>(rank)].get();
              reader.sink += read_through(cache + reader.slot * (bytes / 4), bytes);
            });
            return sample;
          }};
}

std::vector<MicroCase> cases_of(const MicroMachine& machine,
                                std::initializer_list<const char*> kernels, bool quick) {
  const std::vector<std::int64_t> sizes =
      quick ? std::vector<std::int64_t>{512 * k_kib, 1536 * k_kib, 3072 * k_kib}
            : std::vector<std::int64_t>{4 * k_kib,    64 * k_kib,   512 * k_kib,
                                        1536 * k_kib, 3072 * k_kib, 6144 * k_kib};
  const std::int64_t bytes_of_file = machine.file.bytes();
  auto caches = std::make_shared<Caches>();
  for (int r = 0; r < std::min(2, machine.team.size()); ++r) {
    caches->push_back(aligned_floats(static_cast<std::size_t>(k_large_cache) / sizeof(float)));
  }
  std::vector<MicroCase> cases;
  for (const char* kernel : kernels) {
    const std::string_view name(kernel);
    const bool from_device = name != "disk_warm" && name != "disk_mmap_warm";
    if (from_device && !machine.file.has_direct()) {
      continue;  // the file may live in memory
    }
    for (int queue = 1; queue <= std::min(2, machine.team.size()); ++queue) {
      for (const std::int64_t bytes : sizes) {
        // What little is used of the file, or written of the cache, lies nearer.
        cases.push_back(
            disk_case(machine, kernel, queue, bytes, {bytes_of_file / 8, k_small_cache}, caches));
        cases.push_back(
            disk_case(machine, kernel, queue, bytes, {bytes_of_file, k_large_cache}, caches));
      }
    }
  }
  return cases;
}

}  // namespace

std::vector<MicroCase> disk_cases(const MicroMachine& machine, bool quick) {
  return cases_of(machine, {"disk_direct", "disk_warm"}, quick);
}

std::vector<MicroCase> disk_path_cases(const MicroMachine& machine, bool quick) {
  return cases_of(machine, {"disk_dropped", "disk_mmap_cold", "disk_mmap_warm"}, quick);
}

}  // namespace moesim::detail
