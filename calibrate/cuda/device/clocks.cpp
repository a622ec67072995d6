#include "calibrate/cuda/device/clocks.h"

#include <dlfcn.h>

#include <array>

#include "calibrate/cuda/device/check.h"

namespace moesim::bench {
namespace {

// nvmlClockType_t
constexpr unsigned sm_clock = 1;
constexpr unsigned memory_clock = 2;

int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  MOESIM_CHECK(cudaDeviceGetAttribute(&value, which, device));
  return value;
}

template <class Function>
bool load(void* library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(::dlsym(library, name));
  return function != nullptr;
}

}  // namespace

// The few functions of nvml.h that are used; 0 is NVML_SUCCESS. They are resolved by hand, because
// the header comes with another package than the compiler.
struct Clocks::Library {
  void* handle = nullptr;
  void* device = nullptr;
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*find)(const char*, void**) = nullptr;
  int (*clock)(void*, unsigned, unsigned*) = nullptr;
  int (*driver)(char*, unsigned) = nullptr;

  bool open(const char* bus_id) {
    handle = ::dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    return handle != nullptr && load(handle, "nvmlInit_v2", init) &&
           load(handle, "nvmlShutdown", shutdown) &&
           load(handle, "nvmlDeviceGetHandleByPciBusId_v2", find) &&
           load(handle, "nvmlDeviceGetClockInfo", clock) &&
           load(handle, "nvmlSystemGetDriverVersion", driver) && init() == 0 &&
           find(bus_id, &device) == 0;
  }
};

Clocks::Clocks(int device)
    : library_(std::make_unique<Library>()),
      nominal_sm_mhz_(attribute(cudaDevAttrClockRate, device) / 1000),
      nominal_memory_mhz_(attribute(cudaDevAttrMemoryClockRate, device) / 1000) {
  std::array<char, 32> bus_id{};
  MOESIM_CHECK(cudaDeviceGetPCIBusId(bus_id.data(), static_cast<int>(bus_id.size()), device));
  if (!library_->open(bus_id.data())) {
    library_.reset();
  }
}

Clocks::~Clocks() {
  if (library_) {
    static_cast<void>(library_->shutdown());
  }
}

int Clocks::clock(unsigned type, int nominal) const {
  unsigned mhz = 0;
  if (library_ && library_->clock(library_->device, type, &mhz) == 0) {
    return static_cast<int>(mhz);
  }
  return nominal;
}

int Clocks::sm_mhz() const { return clock(sm_clock, nominal_sm_mhz_); }

int Clocks::memory_mhz() const { return clock(memory_clock, nominal_memory_mhz_); }

std::string Clocks::driver_version() const {
  std::array<char, 96> version{};
  if (library_ && library_->driver(version.data(), static_cast<unsigned>(version.size())) == 0) {
    return version.data();
  }
  int number = 0;
  MOESIM_CHECK(cudaDriverGetVersion(&number));
  return "CUDA " + std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

}  // namespace moesim::bench
