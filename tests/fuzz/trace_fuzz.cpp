// Any bytes are either refused with ConfigError or a sound trace: then everything that the trace
// says of itself holds, and reading all of it stays within the sizes it states.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sim/core/error.h"
#include "workloads/trace/moetrace.h"
#include "workloads/trace/moetrace_layout.h"

namespace {

using namespace moesim;

void check_tokens(const TraceView& view) {
  const RoutedTokens tokens = view.all();
  const auto count = static_cast<std::size_t>(view.items());
  ensure(tokens.request.size() == count && tokens.token_id.size() == count &&
             tokens.position.size() == count && tokens.phase.size() == count,
         "every token has all columns");
  ensure(tokens.ids.size() == count * static_cast<std::size_t>(tokens.layers) *
                                  static_cast<std::size_t>(tokens.top_k),
         "every token has its experts in every layer");
  for (const auto id : tokens.ids) {
    ensure(id < tokens.experts, "experts exist");
  }
}

void check_loads(const TraceView& view) {
  const LoadTrace loads = view.loads();
  ensure(loads.windows.size() == static_cast<std::size_t>(view.items()), "every window is there");
  for (const auto& window : loads.windows) {
    ensure(window.counts.size() == static_cast<std::size_t>(loads.shape.layers) *
                                       static_cast<std::size_t>(loads.shape.experts),
           "every window has all counts");
  }
}

// Checksums make random bytes stop at the door; this lets mutations pass it.
std::vector<std::uint8_t> resealed(std::span<const std::uint8_t> bytes) {
  std::vector<std::uint8_t> copy(bytes.begin(), bytes.end());
  if (copy.size() < detail::k_header_bytes) {
    return copy;
  }
  const std::span<std::uint8_t> all(copy);
  const auto directory = detail::load<std::uint64_t>(all, 32);
  const auto metadata = detail::load<std::uint32_t>(all, 44);
  if (metadata <= copy.size() - detail::k_header_bytes) {
    detail::store(all, 48, detail::crc_of(all.subspan(detail::k_header_bytes, metadata)));
  }
  if (directory <= copy.size()) {
    for (auto at = directory; copy.size() - at >= detail::k_directory_entry_bytes;
         at += detail::k_directory_entry_bytes) {
      auto entry = detail::decode_entry(all.subspan(at));
      if (entry.offset <= copy.size() && entry.bytes <= copy.size() - entry.offset) {
        entry.crc = detail::crc_of(all.subspan(entry.offset, entry.bytes));
        detail::encode(entry, all.subspan(at, detail::k_directory_entry_bytes));
      }
    }
    detail::store(all, 52, detail::crc_of(all.subspan(directory)));
  }
  detail::store(all, 60, detail::crc_of(all.first(60)));
  return copy;
}

void check(std::span<const std::uint8_t> bytes) {
  try {
    const TraceView view(bytes, "fuzz");
    if (view.shape().kind == TraceKind::tokens) {
      check_tokens(view);
    } else {
      check_loads(view);
    }
  } catch (const ConfigError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  check(std::span(data, size));
  check(resealed(std::span(data, size)));
  return 0;
}
