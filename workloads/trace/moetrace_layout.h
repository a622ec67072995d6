// Byte layout of .moetrace, shared by writer and reader. Sizes are computed from the header alone;
// what the file says of them is only ever compared.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>

#include "workloads/trace/moetrace.h"

namespace moesim::detail {

static_assert(std::endian::native == std::endian::little, "traces are mapped as they are");

inline constexpr std::uint64_t k_alignment = 64;
inline constexpr std::uint64_t k_header_bytes = 64;
inline constexpr std::uint64_t k_directory_entry_bytes = 32;
inline constexpr std::uint16_t k_trace_version = 1;
inline constexpr std::uint64_t k_max_metadata_bytes = 16U << 20;
inline constexpr int k_max_layers = 4096;
inline constexpr int k_max_experts = 65535;
inline constexpr int k_max_top_k = 1024;

struct TraceHeader {
  TraceShape shape;
  std::uint32_t chunk_items = 0;
  std::uint64_t items = 0;
  std::uint64_t directory_offset = 0;
  std::uint32_t chunks = 0;
  std::uint32_t metadata_bytes = 0;
  std::uint32_t metadata_crc = 0;
  std::uint32_t directory_crc = 0;
};

struct DirectoryEntry {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::uint64_t first_item = 0;
  std::uint32_t items = 0;
  std::uint32_t crc = 0;
};

// Offsets of a chunk's sections from its beginning; all multiples of 64.
struct ChunkLayout {
  std::uint64_t weights = 0;
  std::uint64_t token_id = 0;
  std::uint64_t request = 0;
  std::uint64_t position = 0;
  std::uint64_t phase = 0;
  std::uint64_t counts = 0;  // loads
  std::uint64_t pairs = 0;
  std::uint64_t bytes = 0;
};

template <class T>
T load(std::span<const std::uint8_t> bytes, std::uint64_t offset) {
  T value;
  std::memcpy(&value, bytes.subspan(offset, sizeof(T)).data(), sizeof(T));
  return value;
}
template <class T>
void store(std::span<std::uint8_t> bytes, std::uint64_t offset, T value) {
  std::memcpy(bytes.subspan(offset, sizeof(T)).data(), &value, sizeof(T));
}

inline std::uint64_t aligned(std::uint64_t bytes) {
  return (bytes + k_alignment - 1) / k_alignment * k_alignment;
}
inline std::uint64_t id_bytes(const TraceShape& shape) { return shape.experts <= 256 ? 1 : 2; }

std::uint32_t crc_of(std::span<const std::uint8_t> bytes);

// Sections of a chunk of `items` tokens, or of one load window. No overflow for shapes that
// shape_problem accepts and items <= 2^32.
ChunkLayout chunk_layout(const TraceShape& shape, std::uint64_t items);

// What is wrong with a shape, or empty.
std::string shape_problem(const TraceShape& shape);

std::array<std::uint8_t, k_header_bytes> encode(const TraceHeader& header);
// Throws ConfigError(name, ...) for anything but a sound header of a known version.
TraceHeader decode_header(std::span<const std::uint8_t> bytes, const std::string& name);

void encode(const DirectoryEntry& entry, std::span<std::uint8_t> bytes);
DirectoryEntry decode_entry(std::span<const std::uint8_t> bytes);

std::string metadata_text(const TraceMetadata& metadata);
TraceMetadata parse_metadata(std::string_view text, const std::string& where);

}  // namespace moesim::detail
