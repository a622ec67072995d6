#include "workloads/trace/load_windows.h"

#include <algorithm>
#include <numeric>

#include "sim/core/error.h"

namespace moesim {
namespace {

// Counts of the tokens [first, last), some at a time: a trace may be larger than memory.
LoadWindow count(const TraceView& trace, std::int64_t first, std::int64_t last) {
  LoadWindow window;
  const auto experts = static_cast<std::size_t>(trace.shape().experts);
  window.tokens = static_cast<std::uint64_t>(last - first);
  window.counts.assign(static_cast<std::size_t>(trace.shape().layers) * experts, 0);
  for (std::int64_t next = first; next < last;) {
    const std::int64_t end = std::min(last, next + k_trace_chunk_tokens);
    std::vector<std::int64_t> indices(static_cast<std::size_t>(end - next));
    std::iota(indices.begin(), indices.end(), next);
    const RoutedTokens tokens = trace.gather(indices);
    for (int l = 0; l < tokens.layers; ++l) {
      for (const std::uint16_t e : tokens.layer(l)) {
        ++window.counts[static_cast<std::size_t>(l) * experts + e];
      }
    }
    next = end;
  }
  return window;
}

}  // namespace

LoadTrace load_windows(const TraceView& trace, int windows, const std::string& name) {
  if (trace.shape().kind == TraceKind::loads) {
    return trace.loads();
  }
  const std::int64_t each = windows > 0 ? trace.items() / windows : 0;
  if (each < 1) {
    throw ConfigError(name, std::to_string(trace.items()) + " tokens do not fill " +
                                std::to_string(windows) + " windows; use fewer");
  }
  LoadTrace loads{trace.shape(), trace.metadata(), {}};
  loads.shape.kind = TraceKind::loads;
  for (int w = 0; w < windows; ++w) {
    loads.windows.push_back(count(trace, w * each, (w + 1) * each));
  }
  return loads;
}

}  // namespace moesim
