// How loads change along a trace: its tokens cut into windows and counted.
#pragma once

#include "workloads/trace/moetrace.h"

namespace moesim {

// Token traces: `windows` equally long stretches of consecutive tokens (the last few tokens that do
// not fill a window are left out). Load traces: their own windows; `windows` is not looked at.
// Throws ConfigError(name, ...) when there are fewer tokens than windows.
LoadTrace load_windows(const TraceView& trace, int windows, const std::string& name);

}  // namespace moesim
