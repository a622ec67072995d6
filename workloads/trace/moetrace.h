// Routing traces on disk (.moetrace): tokens with their experts in every layer, or expert loads per
// window. Little endian, memory-mappable, a checksum on every byte. README.md has the format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/core/progress.h"
#include "workloads/sources/routing.h"

namespace moesim {

enum class TraceKind : std::uint8_t { tokens = 1, loads = 2 };
enum class WeightCoding : std::uint8_t { none = 0, u8 = 1, f32 = 2 };

// The fixed part of a file.
struct TraceShape {
  TraceKind kind = TraceKind::tokens;
  int layers = 0;
  int experts = 0;
  int top_k = 0;
  bool ranked = false;       // tokens: is k ordered by gate score, best first?
  bool layer_pairs = false;  // loads: counts of (expert, expert of the next layer)?
  WeightCoding weights = WeightCoding::none;
};

inline constexpr std::int64_t k_trace_chunk_tokens = 4096;

// Free-form facts about a trace; stored as JSON. Model layer of trace layer l = first_layer + l.
struct TraceMetadata {
  std::string model;
  std::string source;  // citation or "generated from profile NAME, seed S"
  int first_layer = 0;
  std::vector<std::string> windows;  // loads: a name per window
};

// One window of a load trace.
struct LoadWindow {
  std::uint64_t tokens = 0;
  std::vector<std::uint32_t> counts;  // [layer][expert]
  std::vector<std::uint32_t> pairs;   // [layer - 1][expert][expert of the next layer]; may be empty
};

struct LoadTrace {
  TraceShape shape;
  TraceMetadata metadata;
  std::vector<LoadWindow> windows;
};

// Writes a token trace chunk by chunk. PATH changes in finish(); a writer that is destroyed before
// leaves nothing behind.
class TraceWriter {
 public:
  TraceWriter(const std::string& path, const TraceShape& shape, const TraceMetadata& metadata);
  ~TraceWriter();
  TraceWriter(const TraceWriter&) = delete;
  TraceWriter& operator=(const TraceWriter&) = delete;

  // Any number of tokens. Throws ConfigError when ids are out of range or not distinct, or when the
  // shape differs from the file's; std::system_error when the disk is full.
  void append(const RoutedTokens& tokens);
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

void write_load_trace(const std::string& path, const LoadTrace& trace);

// A trace in memory (mapped or not). Construction verifies everything, so that whoever holds one
// holds a sound trace: checksums, sizes, ids in range and distinct per token.
class TraceView {
 public:
  // Throws ConfigError(name + ...) that says which part, and for chunks which number, is damaged.
  TraceView(std::span<const std::uint8_t> bytes, const std::string& name,
            const Progress& progress = {});

  [[nodiscard]] const TraceShape& shape() const { return shape_; }
  [[nodiscard]] const TraceMetadata& metadata() const { return metadata_; }
  [[nodiscard]] std::int64_t chunks() const { return static_cast<std::int64_t>(chunks_.size()); }
  // Tokens (or windows) in the file.
  [[nodiscard]] std::int64_t items() const { return items_; }

  // Token traces. Copies tokens[i] for every i in `indices`, in that order.
  [[nodiscard]] RoutedTokens gather(std::span<const std::int64_t> indices, int threads = 1) const;
  [[nodiscard]] RoutedTokens all() const;
  [[nodiscard]] std::uint32_t request(std::int64_t token) const;
  [[nodiscard]] std::uint32_t position(std::int64_t token) const;

  // Load traces.
  [[nodiscard]] LoadTrace loads() const;

 private:
  struct Chunk {
    std::span<const std::uint8_t> bytes;
    std::int64_t first = 0;
    std::int64_t items = 0;
  };

  [[nodiscard]] const Chunk& chunk_of(std::int64_t token) const;
  void check_token_chunk(const Chunk& chunk, const std::string& where) const;
  [[nodiscard]] std::uint16_t id(const Chunk& chunk, std::int64_t layer, std::int64_t token,
                                 std::int64_t k) const;

  TraceShape shape_;
  TraceMetadata metadata_;
  std::int64_t items_ = 0;
  std::int64_t chunk_items_ = k_trace_chunk_tokens;
  std::vector<Chunk> chunks_;
};

// Same as constructing a TraceView: throws ConfigError unless the bytes are a sound trace.
void verify_trace(std::span<const std::uint8_t> bytes, const std::string& name);

// A memory-mapped file and its view.
class TraceFile {
 public:
  explicit TraceFile(const std::string& path, const Progress& progress = {});
  ~TraceFile();
  TraceFile(const TraceFile&) = delete;
  TraceFile& operator=(const TraceFile&) = delete;

  [[nodiscard]] const TraceView& view() const { return *view_; }
  [[nodiscard]] std::uint64_t bytes() const { return size_; }

 private:
  void* address_ = nullptr;
  std::size_t size_ = 0;
  std::unique_ptr<TraceView> view_;
};

}  // namespace moesim
