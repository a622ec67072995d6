// Reading out of a verified view, and mapping files.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <numeric>

#include "sim/core/error.h"
#include "sim/core/thread_pool.h"
#include "workloads/trace/moetrace_layout.h"

namespace moesim {

using namespace detail;

const TraceView::Chunk& TraceView::chunk_of(std::int64_t token) const {
  ensure(token >= 0 && token < items_, "the token exists in the trace");
  return chunks_[static_cast<std::size_t>(token / chunk_items_)];
}

std::uint16_t TraceView::id(const Chunk& chunk, std::int64_t layer, std::int64_t token,
                            std::int64_t k) const {
  const auto at = static_cast<std::uint64_t>((layer * chunk.items + token) * shape_.top_k + k);
  return id_bytes(shape_) == 1 ? chunk.bytes[at] : load<std::uint16_t>(chunk.bytes, at * 2);
}

std::uint32_t TraceView::request(std::int64_t token) const {
  const Chunk& chunk = chunk_of(token);
  const auto layout = chunk_layout(shape_, static_cast<std::uint64_t>(chunk.items));
  return load<std::uint32_t>(chunk.bytes,
                             layout.request + static_cast<std::uint64_t>(token - chunk.first) * 4);
}

std::uint32_t TraceView::position(std::int64_t token) const {
  const Chunk& chunk = chunk_of(token);
  const auto layout = chunk_layout(shape_, static_cast<std::uint64_t>(chunk.items));
  return load<std::uint32_t>(chunk.bytes,
                             layout.position + static_cast<std::uint64_t>(token - chunk.first) * 4);
}

RoutedTokens TraceView::gather(std::span<const std::int64_t> indices, int threads) const {
  ensure(shape_.kind == TraceKind::tokens, "only token traces have tokens");
  const std::size_t count = indices.size();
  const auto top_k = static_cast<std::size_t>(shape_.top_k);
  const bool weighted = shape_.weights != WeightCoding::none;
  RoutedTokens tokens;
  tokens.layers = shape_.layers;
  tokens.experts = shape_.experts;
  tokens.top_k = shape_.top_k;
  tokens.ranked = shape_.ranked;
  tokens.ids.resize(static_cast<std::size_t>(shape_.layers) * count * top_k);
  tokens.weights.resize(weighted ? tokens.ids.size() : 0);
  for (const auto index : indices) {
    const Chunk& chunk = chunk_of(index);
    const auto layout = chunk_layout(shape_, static_cast<std::uint64_t>(chunk.items));
    const auto at = static_cast<std::uint64_t>(index - chunk.first);
    tokens.token_id.push_back(load<std::uint32_t>(chunk.bytes, layout.token_id + at * 4));
    tokens.request.push_back(load<std::uint32_t>(chunk.bytes, layout.request + at * 4));
    tokens.position.push_back(load<std::uint32_t>(chunk.bytes, layout.position + at * 4));
    tokens.phase.push_back(static_cast<TokenPhase>(chunk.bytes[layout.phase + at]));
  }
  const auto copy_slot = [&](std::size_t l, std::size_t t, std::size_t k) {
    const Chunk& chunk = chunk_of(indices[t]);
    const std::int64_t local = indices[t] - chunk.first;
    const std::size_t to = (l * count + t) * top_k + k;
    tokens.ids[to] = id(chunk, static_cast<std::int64_t>(l), local, static_cast<std::int64_t>(k));
    if (weighted) {
      const auto layout = chunk_layout(shape_, static_cast<std::uint64_t>(chunk.items));
      const auto from = static_cast<std::uint64_t>(
          (static_cast<std::int64_t>(l) * chunk.items + local) * shape_.top_k +
          static_cast<std::int64_t>(k));
      tokens.weights[to] = shape_.weights == WeightCoding::u8
                               ? static_cast<float>(chunk.bytes[layout.weights + from]) / 255.0F
                               : load<float>(chunk.bytes, layout.weights + from * 4);
    }
  };
  parallel_for(static_cast<std::size_t>(shape_.layers), threads, [&](std::size_t l) {
    for (std::size_t t = 0; t < count; ++t) {
      for (std::size_t k = 0; k < top_k; ++k) {
        copy_slot(l, t, k);
      }
    }
  });
  return tokens;
}

RoutedTokens TraceView::all() const {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(items_));
  std::iota(indices.begin(), indices.end(), std::int64_t{0});
  return gather(indices);
}

LoadTrace TraceView::loads() const {
  ensure(shape_.kind == TraceKind::loads, "only load traces have windows");
  const ChunkLayout layout = chunk_layout(shape_, 1);
  const auto experts = static_cast<std::size_t>(shape_.experts);
  const std::size_t counts = static_cast<std::size_t>(shape_.layers) * experts;
  const std::size_t pairs = shape_.layer_pairs ? (counts - experts) * experts : 0;
  LoadTrace trace{.shape = shape_, .metadata = metadata_, .windows = {}};
  for (const Chunk& chunk : chunks_) {
    LoadWindow window{.tokens = load<std::uint64_t>(chunk.bytes, 0), .counts = {}, .pairs = {}};
    window.counts.resize(counts);
    window.pairs.resize(pairs);
    std::memcpy(window.counts.data(), chunk.bytes.subspan(layout.counts, counts * 4).data(),
                counts * 4);
    if (pairs > 0) {
      std::memcpy(window.pairs.data(), chunk.bytes.subspan(layout.pairs, pairs * 4).data(),
                  pairs * 4);
    }
    trace.windows.push_back(std::move(window));
  }
  return trace;
}

TraceFile::TraceFile(const std::string& path, const Progress& progress) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat facts{};
  if (file < 0 || ::fstat(file, &facts) != 0 || !S_ISREG(facts.st_mode)) {
    if (file >= 0) {
      ::close(file);
    }
    throw ConfigError(path, "cannot be read; give the path of an existing .moetrace file");
  }
  size_ = static_cast<std::size_t>(facts.st_size);
  if (size_ > 0) {
    address_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
  }
  ::close(file);
  if (address_ == MAP_FAILED) {
    address_ = nullptr;
    throw ConfigError(path, "cannot be mapped into memory");
  }
  try {
    view_ = std::make_unique<TraceView>(
        std::span(static_cast<const std::uint8_t*>(address_), size_), path, progress);
  } catch (...) {
    if (address_ != nullptr) {
      ::munmap(address_, size_);
    }
    throw;
  }
}

TraceFile::~TraceFile() {
  if (address_ != nullptr) {
    ::munmap(address_, size_);
  }
}

}  // namespace moesim
