// What a Mixture-of-Experts network looks like: plain structs, read from JSON (README.md has the
// schema). Dense models are the case without routed experts.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moesim {

enum class AttentionKind : std::uint8_t {
  mha,         // every query head has its own keys and values
  gqa,         // query heads share kv_heads
  mla,         // keys and values are up-projections of one latent per token (DeepSeek-V2)
  linear,      // gated delta rule: a state per sequence instead of a cache (Yang et al. 2024)
  mamba,       // selective state space, Mamba-2 (2405.21060) or Mamba-1 (2312.00752)
  compressed,  // a vector per token is key and value of all heads; old ones pooled (DeepSeek-V4)
  none,        // the block has no token mixing
};
std::string_view name_of(AttentionKind kind);

// What a layer keeps per sequence.
enum class KvKind : std::uint8_t {
  none,
  per_head,  // keys and values of every kv head, per token
  latent,    // latent and rotary key, per token
  state,     // a matrix per head, whatever the length
  mixed,     // layers differ
};
std::string_view name_of(KvKind kind);

enum class QkNorm : std::uint8_t {
  none,
  head,  // one weight per head dimension, shared by the heads (Qwen3)
  full,  // one weight per projected value (OLMoE)
};

// DeepSeek sparse attention: a small attention that chooses which cached entries queries look at.
struct Indexer {
  std::int64_t heads = 0;
  std::int64_t head_dim = 0;  // one key of it per cached entry
  std::int64_t top_k = 0;     // entries that a query looks at

  friend bool operator==(const Indexer&, const Indexer&) = default;
};

struct Attention {
  AttentionKind kind = AttentionKind::mha;
  std::int64_t heads = 0;        // query heads; linear: value heads; mamba: heads, or channels
  std::int64_t kv_heads = 0;     // mha, gqa; linear: key heads; mamba: groups
  std::int64_t head_dim = 0;     // mha, gqa, compressed; linear: key dimension; mamba: channels
  std::int64_t value_dim = 0;    // per head; mha, gqa, mla, linear; mamba: the state's dimension
  std::int64_t q_rank = 0;       // mla: 0 = queries are not compressed; compressed
  std::int64_t kv_rank = 0;      // mla: the latent
  std::int64_t nope_dim = 0;     // mla: per head, without position
  std::int64_t rope_dim = 0;     // mla: rotary part, one key for all heads
  std::int64_t conv_width = 0;   // linear: depthwise convolution before q, k, v; mamba
  std::int64_t window = 0;       // mha, gqa, compressed: latest keys that a query sees; 0: all
  std::int64_t chunk = 0;        // mha, gqa: queries see their own chunk of so many tokens; 0: all
  std::int64_t compress = 0;     // compressed: tokens pooled into one entry; 0: the window alone
  std::int64_t o_groups = 0;     // compressed: groups of heads with an output compression each
  std::int64_t o_rank = 0;       // compressed: width of each
  std::int64_t dt_rank = 0;      // mamba: > 0 is Mamba-1, whose heads are single channels
  bool output_gate = false;      // mha, gqa, linear: a gate as wide as the values
  bool head_gate = false;        // mha, gqa: a gate per head
  bool delta = true;             // linear: decay and step size per head; false: fixed (lightning)
  bool sinks = false;            // a score per head that belongs to no key
  bool reuses_kv = false;        // mha, gqa: an earlier layer's keys and values
  bool keys_are_values = false;  // mha, gqa: no projection of values
  bool conv_bias = false;        // mamba
  bool state_norms = false;      // mamba: norms of what the state is updated with (Jamba)
  bool qkv_bias = false;
  bool output_bias = false;
  std::optional<Indexer> indexer;  // mla, compressed
  QkNorm qk_norm = QkNorm::none;
  double weight_bits = 0.0;  // 0: as the scenario's precision says

  friend bool operator==(const Attention&, const Attention&) = default;
};

KvKind kv_kind(const Attention& attention);

enum class ExpertKind : std::uint8_t {
  ffn,
  zero,      // gives 0
  copy,      // gives its input (identity)
  constant,  // mixes its input with a trained vector (MoE++)
  null,      // a selectable nothing (AdaMoE)
};
std::string_view name_of(ExpertKind kind);

struct ExpertSet {
  std::int64_t count = 0;
  ExpertKind kind = ExpertKind::ffn;
  std::int64_t inter = 0;  // width; 0 unless ffn
  int matrices = 3;        // 3: gate, up, down; 2: up, down
  bool bias = false;
  double weight_bits = 0.0;

  friend bool operator==(const ExpertSet&, const ExpertSet&) = default;
};

struct SharedExperts {
  std::int64_t count = 1;
  std::int64_t inter = 0;  // of each
  int matrices = 3;
  bool gated = false;  // output scaled by a sigmoid of one row (Qwen2-MoE)
  double weight_bits = 0.0;

  friend bool operator==(const SharedExperts&, const SharedExperts&) = default;
};

struct Router {
  bool linear = true;     // false: hash, random or external routing; nothing to compute
  bool bias = false;      // a vector over the experts (selection bias, scale)
  bool residual = false;  // logits add a projection of the previous layer's logits (MoE++)
  std::int64_t top_k = 1;
  std::int64_t groups = 1;       // of equal size
  std::int64_t top_groups = 1;   // groups a token may use
  std::int64_t per_group_k = 0;  // > 0: exactly that many in every group (MoGE)

  friend bool operator==(const Router&, const Router&) = default;
};

// The output of an FFN entry does not enter this block's residual stream at once: the entry runs
// beside the rest (ScMoE). Its input is this block's FFN norm; its output is added to the residual
// stream at the end of the block `adds_after_blocks` further on (0: of this block).
struct Shortcut {
  std::int64_t adds_after_blocks = 0;

  friend bool operator==(const Shortcut&, const Shortcut&) = default;
};

enum class FfnKind : std::uint8_t { dense, moe };

struct FfnGroup {
  FfnKind kind = FfnKind::dense;
  std::int64_t inter = 0;  // dense
  int matrices = 3;        // dense
  bool bias = false;       // dense
  double weight_bits = 0.0;
  std::vector<ExpertSet> experts;  // moe: the FFN experts first, then those that cost nothing
  std::vector<SharedExperts> shared;
  Router router;
  std::int64_t rounds = 1;      // Chain-of-Experts: router and experts run so often per layer
  std::int64_t latent_dim = 0;  // > 0: experts work on a shared projection of the token (MoLE)
  double expected_ffn_k = 0.0;  // mean FFN experts per token and round; <= top_k
  std::optional<Shortcut> shortcut;

  [[nodiscard]] std::int64_t ffn_experts() const;
  [[nodiscard]] std::int64_t selectable_experts() const;
  // The routed FFN experts. Requires kind moe.
  [[nodiscard]] const ExpertSet& expert() const;

  friend bool operator==(const FfnGroup&, const FfnGroup&) = default;
};

enum class Stack : std::uint8_t { encoder, decoder };

// One attention and the FFN entries after it, executed in order on the block's FFN norm. A
// published "layer" may be several blocks (LongCat-Flash: two).
struct Block {
  Stack stack = Stack::decoder;
  Attention attention;
  std::optional<Attention> cross_attention;  // over the encoder's output
  std::vector<FfnGroup> ffn;                 // none: the block is attention alone
  std::int64_t extra_norms = 0;  // vectors of the hidden width beside the norm before each part
  bool mtp = false;  // of a multi-token-prediction module: two norms, a projection 2 hidden ->
                     // hidden before it, a norm and the shared head behind it (DeepSeek-V3, 2.2)

  // The first MoE entry; nullptr if the block is dense.
  [[nodiscard]] const FfnGroup* moe() const;

  friend bool operator==(const Block&, const Block&) = default;
};

struct KvLayout {
  KvKind kind = KvKind::none;
  std::int64_t page_tokens = 1;  // sequences hold whole pages
};

// Multi-token-prediction modules that the weights come with.
struct MtpModules {
  std::int64_t count = 0;
  Block block;  // of each
};

struct MoeModel {
  std::string name;
  std::string where;  // document it was read from, for messages
  std::int64_t hidden = 0;
  std::int64_t vocabulary = 0;
  bool tied_embeddings = false;
  KvLayout kv;
  std::vector<Block> blocks;          // the distinct ones
  std::vector<std::int32_t> layers;   // index into blocks, encoder first, MTP modules last
  std::int64_t residual_streams = 1;  // > 1: hyper-connections between so many (DeepSeek-V4)
  std::optional<MtpModules> mtp;
  std::int64_t mtp_layers = 0;  // modules that run: the last so many of `layers`
  std::vector<std::string> sources;
  std::string date;                // of the sources
  std::vector<std::string> notes;  // what a reader should know: defaults taken, parts left out
  std::string checkpoint;          // formats of the weight files, where the document says them

  [[nodiscard]] const Block& layer(std::size_t i) const {
    return blocks[static_cast<std::size_t>(layers[i])];
  }
};

// Plain data for a routing source. `layers` counts routing decisions per token: MoE entries times
// rounds.
struct RoutingShape {
  std::int64_t layers = 0;
  std::int64_t experts = 0;      // selectable ones, FFN experts first
  std::int64_t ffn_experts = 0;  // of them
  std::int64_t top_k = 0;
  std::int64_t groups = 1;
  std::int64_t top_groups = 1;
  std::int64_t per_group_k = 0;
};

// layers = 0 for a dense model. Throws ConfigError when MoE layers differ from each other.
RoutingShape routing_shape(const MoeModel& model);

// A model object of README.md's schema. `effective`, if given, becomes the same model with every
// default filled in. Throws ConfigError(where + pointer, ...).
MoeModel parse_model(const nlohmann::json& document, const std::string& where,
                     nlohmann::json* effective = nullptr);

// A catalog name, a path ending in ".json", or an inline object; each may be a model of our schema
// or a Hugging Face config.json. {"model": NAME_OR_PATH, key: value, ...} is that model with keys
// of our schema replaced ("mtp_layers", "kv", ...).
MoeModel load_model(const nlohmann::json& value, const std::string& where,
                    const std::vector<std::string>& catalog_dirs,
                    nlohmann::json* effective = nullptr);

}  // namespace moesim
