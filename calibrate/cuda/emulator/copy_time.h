// Asynchronous copies happen between the instruction that asks for them and the wait for them. A
// kernel that is right is right with the earliest and the latest moment, and tests run both.
#pragma once

namespace moesim::emulation {

enum class CopyTime { latest, earliest };
void set_copy_time(CopyTime time);

}  // namespace moesim::emulation
