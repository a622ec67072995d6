// Asynchronous copies happen between the instruction that asks for them and the wait for them. A
// kernel that is right is right with the earliest and the latest moment, and tests run both.
#pragma once

namespace moesim::emulation {

enum class CopyTime { latest, earliest };
void set_copy_time(CopyTime time);

// What a block may have; at first 163 KiB, those of the smallest of the three architectures.
int& shared_memory_per_block();

}  // namespace moesim::emulation
