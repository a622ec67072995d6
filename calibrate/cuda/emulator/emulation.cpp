#include "calibrate/cuda/emulator/emulation.h"

#include <ucontext.h>

#include <exception>
#include <memory>
#include <vector>

#include "sim/core/error.h"

namespace moesim::emulation {
namespace {

constexpr std::size_t stack_bytes = std::size_t{128} << 10;

struct Copy {
  void* to;
  const void* from;
  std::size_t bytes;
  bool zeros;
};

struct Fiber {
  ucontext_t context{};
  std::unique_ptr<unsigned char[]> stack =
      std::make_unique_for_overwrite<unsigned char[]>(stack_bytes);
  Place place;
  bool done = false;
  std::vector<std::vector<Copy>> groups{1};  // the last one is not committed yet
};

// Counts arrivals; everybody leaves when all that still run have come.
struct Barrier {
  std::size_t arrived = 0;
  std::size_t generation = 0;
};

struct Warp {
  Barrier barrier;
  Slots slots{};
  std::size_t running = 0;
};

struct Block {
  std::vector<Fiber> fibers;
  std::vector<Warp> warps;
  Barrier barrier;
  std::size_t running = 0;
  ucontext_t scheduler{};
  std::size_t current = 0;
  const std::function<void()>* kernel = nullptr;
  std::exception_ptr error;
};

thread_local Block* block = nullptr;
thread_local std::vector<unsigned char> shared_memory;
thread_local CopyTime copy_time = CopyTime::latest;

Fiber& fiber() { return block->fibers[block->current]; }
Warp& warp() { return block->warps[block->current / 32]; }

void yield() {
  Fiber& own = fiber();
  swapcontext(&own.context, &block->scheduler);
}

void release_if_full(Barrier& barrier, std::size_t running) {
  if (barrier.arrived == running) {
    barrier.arrived = 0;
    ++barrier.generation;
  }
}

void arrive(Barrier& barrier, const std::size_t& running) {
  const std::size_t generation = barrier.generation;
  ++barrier.arrived;
  release_if_full(barrier, running);
  while (barrier.generation == generation) {
    yield();
  }
}

void run_fiber() {
  try {
    (*block->kernel)();
  } catch (...) {
    block->error = std::current_exception();
  }
  fiber().done = true;
  --block->running;
  --warp().running;
  if (warp().running > 0) {
    release_if_full(warp().barrier, warp().running);
  }
  if (block->running > 0) {
    release_if_full(block->barrier, block->running);
  }
  yield();
}

// Until none of its lanes gets any further.
void run_warp(std::size_t index) {
  Warp& own = block->warps[index];
  std::size_t before = 0;
  do {
    before = own.barrier.generation;
    for (std::size_t i = 32 * index; i < std::min(32 * (index + 1), block->fibers.size()); ++i) {
      block->current = i;
      if (!block->fibers[i].done && !block->error) {
        swapcontext(&block->scheduler, &block->fibers[i].context);
      }
    }
  } while (own.barrier.generation != before && own.running > 0);
}

void run_block(const Place& first, std::size_t threads, const std::function<void()>& kernel) {
  Block own;
  own.fibers = std::vector<Fiber>(threads);
  own.warps = std::vector<Warp>((threads + 31) / 32);
  own.running = threads;
  own.kernel = &kernel;
  block = &own;
  for (std::size_t i = 0; i < threads; ++i) {
    Fiber& next = own.fibers[i];
    next.place = first;
    next.place.thread = {static_cast<unsigned>(i), 0, 0};
    ++own.warps[i / 32].running;
    getcontext(&next.context);
    next.context.uc_stack.ss_sp = next.stack.get();
    next.context.uc_stack.ss_size = stack_bytes;
    makecontext(&next.context, run_fiber, 0);
  }
  // A warp runs until it waits for the others, and the first and the last warp lead in turn: where
  // a barrier is missing, one overtakes another.
  for (bool forwards = true; own.running > 0 && !own.error; forwards = !forwards) {
    for (std::size_t i = 0; i < own.warps.size(); ++i) {
      run_warp(forwards ? i : own.warps.size() - 1 - i);
    }
  }
  block = nullptr;
  if (own.error) {
    std::rethrow_exception(own.error);
  }
}

void finish(std::vector<Copy>& group) {
  for (const Copy& copy : group) {
    if (copy.zeros) {
      std::memset(copy.to, 0, copy.bytes);
    } else {
      std::memcpy(copy.to, copy.from, copy.bytes);
    }
  }
  group.clear();
}

}  // namespace

const Place& place() { return fiber().place; }

unsigned char* dynamic_shared() { return shared_memory.data(); }

void launch(dim3 blocks, dim3 threads, std::size_t dynamic_shared_bytes, cudaStream_t /*stream*/,
            const std::function<void()>& kernel) {
  ensure(threads.y == 1 && threads.z == 1, "blocks have one dimension");
  ensure(blocks.x > 0 && blocks.y > 0 && blocks.y < 65536 && blocks.z > 0 && blocks.z < 65536,
         "grids stay within what devices allow");
  Place place;
  place.threads = threads;
  place.blocks = blocks;
  for (unsigned z = 0; z < blocks.z; ++z) {
    for (unsigned y = 0; y < blocks.y; ++y) {
      for (unsigned x = 0; x < blocks.x; ++x) {
        place.block = {x, y, z};
        // Nothing may be expected of shared memory: NaNs in every format that is used.
        shared_memory.assign(dynamic_shared_bytes, 0xff);
        run_block(place, threads.x, kernel);
      }
    }
  }
}

void block_barrier() { arrive(block->barrier, block->running); }

Slots exchange_bytes(const void* value, std::size_t size) {
  Warp& own = warp();
  std::memcpy(own.slots[lane()].data(), value, size);
  arrive(own.barrier, own.running);
  const Slots slots = own.slots;
  arrive(own.barrier, own.running);  // nobody overwrites what others have yet to read
  return slots;
}

void set_copy_time(CopyTime time) { copy_time = time; }

void copy_asynchronously(void* to, const void* from, std::size_t bytes, bool zeros) {
  auto& open_group = fiber().groups.back();
  open_group.push_back({to, from, bytes, zeros});
  if (copy_time == CopyTime::earliest) {
    finish(open_group);
  }
}

int& shared_memory_per_block() {
  static thread_local int bytes = 163 * 1024;
  return bytes;
}

void commit() { fiber().groups.emplace_back(); }

void wait(int pending) {
  auto& groups = fiber().groups;
  const std::size_t keep = static_cast<std::size_t>(pending) + 1;  // and the open one
  while (groups.size() > keep) {
    finish(groups.front());
    groups.erase(groups.begin());
  }
}

}  // namespace moesim::emulation

// What the launching functions call.
extern "C" {
cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorName(cudaError_t) { return "emulated"; }
const char* cudaGetErrorString(cudaError_t) { return "emulated"; }
cudaError_t cudaMemsetAsync(void* target, int value, std::size_t bytes, cudaStream_t) {
  std::memset(target, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  *value = moesim::emulation::shared_memory_per_block();
  return cudaSuccess;
}
cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int value) {
  return value <= moesim::emulation::shared_memory_per_block() ? cudaSuccess
                                                               : cudaErrorInvalidValue;
}
}
