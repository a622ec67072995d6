// Small random traces and a folder that goes away.
#pragma once

#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "sim/core/config.h"
#include "sim/core/rng.h"
#include "workloads/trace/moetrace.h"

namespace moesim::test {

class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "moesim-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline void write_bytes(const std::string& path, std::string_view bytes) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

inline std::vector<std::uint8_t> read_bytes(const std::string& path) {
  const std::string text = read_text_file(path);
  return {text.begin(), text.end()};
}

// Requests of 1 to 40 tokens; ids distinct per token and layer.
inline RoutedTokens random_tokens(int layers, int experts, int top_k, std::size_t count,
                                  std::uint64_t seed, bool weighted = false) {
  Rng rng = RngStreams(seed).stream("test/tokens");
  RoutedTokens tokens;
  tokens.layers = layers;
  tokens.experts = experts;
  tokens.top_k = top_k;
  tokens.ranked = seed % 2 == 0;
  std::vector<std::uint16_t> pool(static_cast<std::size_t>(experts));
  std::iota(pool.begin(), pool.end(), std::uint16_t{0});
  const std::size_t rows = static_cast<std::size_t>(layers) * count;
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t k = 0; k < static_cast<std::size_t>(top_k); ++k) {
      std::swap(pool[k], pool[k + rng.below(pool.size() - k)]);
      tokens.ids.push_back(pool[k]);
      if (weighted) {
        tokens.weights.push_back(static_cast<float>(rng.below(256)) / 255.0F);
      }
    }
  }
  std::uint32_t request = 0;
  std::uint64_t left = 0;
  std::uint32_t position = 0;
  for (std::size_t t = 0; t < count; ++t, ++position) {
    if (left-- == 0) {
      left = rng.below(40);
      ++request;
      position = 0;
    }
    tokens.token_id.push_back(static_cast<std::uint32_t>(rng.below(100000)));
    tokens.request.push_back(request);
    tokens.position.push_back(position);
    tokens.phase.push_back(rng.below(2) == 0 ? TokenPhase::prefill : TokenPhase::decode);
  }
  return tokens;
}

inline TraceShape shape_of(const RoutedTokens& tokens, WeightCoding weights) {
  return {.kind = TraceKind::tokens,
          .layers = tokens.layers,
          .experts = tokens.experts,
          .top_k = tokens.top_k,
          .ranked = tokens.ranked,
          .layer_pairs = false,
          .weights = weights};
}

inline void write_tokens(const std::string& path, const RoutedTokens& tokens,
                         WeightCoding weights = WeightCoding::none, int first_layer = 1) {
  TraceWriter writer(
      path, shape_of(tokens, weights),
      {.model = "test", .source = "random", .first_layer = first_layer, .windows = {}});
  writer.append(tokens);
  writer.finish();
}

inline bool same_tokens(const RoutedTokens& a, const RoutedTokens& b) {
  return a.layers == b.layers && a.experts == b.experts && a.top_k == b.top_k &&
         a.ranked == b.ranked && a.ids == b.ids && a.weights == b.weights &&
         a.token_id == b.token_id && a.request == b.request && a.position == b.position &&
         a.phase == b.phase;
}

// FNV-1a over the ids, for golden values.
inline std::uint64_t hash_ids(const RoutedTokens& tokens) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const auto id : tokens.ids) {
    hash = (hash ^ id) * 0x100000001b3ULL;
  }
  return hash;
}

inline const std::string k_profiles = std::string(MOESIM_SOURCE_DIR) + "/workloads/profiles";

}  // namespace moesim::test
