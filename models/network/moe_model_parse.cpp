// The strict reader of model documents. Sizes are bounded so that no document, however wrong, asks
// for more than a few megabytes.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <span>

#include "models/network/moe_model.h"
#include "models/network/moe_model_parse.h"
#include "sim/core/config.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::string_view, 2> stacks{"encoder", "decoder"};
constexpr std::array<std::string_view, 6> kv_kinds{"auto",   "none",  "per_head",
                                                   "latent", "state", "mixed"};

template <class Enum, std::size_t N>
Enum chosen(const std::array<std::string_view, N>& names, std::string_view name) {
  return static_cast<Enum>(std::ranges::find(names, name) - names.begin());
}

std::string text_of(std::int64_t number) { return std::to_string(number); }

// What of a model is read before its blocks, and shared by them.
struct BlockContext {
  const Json* attention = nullptr;  // of blocks without one of their own
  std::string attention_where;
  bool attention_used = false;
};

Attention parse_block_attention(ConfigObject& object, BlockContext& context) {
  if (object.has("attention") || context.attention == nullptr) {
    return parse_attention(object.object("attention"));
  }
  Json echo;
  const Attention attention =
      parse_attention(ConfigObject(*context.attention, context.attention_where, &echo));
  static_cast<void>(object.raw("attention"));
  object.set_effective("attention", std::move(echo));
  context.attention_used = true;
  return attention;
}

Block parse_block(ConfigObject& object, BlockContext& context) {
  Block block;
  block.stack = chosen<Stack>(stacks, object.choice_or("stack", "decoder", stacks));
  block.attention = parse_block_attention(object, context);
  if (auto cross = object.object_if("cross_attention")) {
    block.cross_attention = parse_attention(*cross);
    if (kv_kind(*block.cross_attention) != KvKind::per_head) {
      throw ConfigError(object.where("cross_attention") + "/kind",
                        "cross attention is one of: mha, gqa");
    }
    if (block.stack == Stack::encoder) {
      object.fail("cross_attention", "stands in an encoder block; only decoders look at encoders");
    }
  }
  const Json* list = object.raw("ffn");
  const bool mixes = block.attention.kind != AttentionKind::none;
  if (list == nullptr || !list->is_array() || (list->empty() && !mixes) ||
      list->size() > static_cast<std::size_t>(model_limits::ffn_entries)) {
    object.fail("ffn", "a list of 1 to " + text_of(model_limits::ffn_entries) +
                           R"( entries {"kind": "dense" or "moe", ...} is needed)" +
                           (mixes ? ", or an empty one" : ""));
  }
  for (const ConfigObject& entry : object.objects("ffn")) {
    block.ffn.push_back(parse_ffn(entry));
  }
  block.extra_norms = object.integer_or("extra_norms", 0, 0, model_limits::norms);
  return block;
}

// Appends `repeat` times the block kinds first..last.
void append_layers(MoeModel& model, ConfigObject& object, std::size_t first, std::int64_t repeat) {
  const auto kinds = static_cast<std::int64_t>(model.blocks.size() - first);
  const auto present = static_cast<std::int64_t>(model.layers.size());
  if (present + repeat * kinds > model_limits::layers) {
    object.fail("repeat", text_of(repeat) + " makes more than " + text_of(model_limits::layers) +
                              " blocks in all");
  }
  for (std::int64_t i = 0; i < repeat; ++i) {
    for (std::int64_t k = 0; k < kinds; ++k) {
      model.layers.push_back(static_cast<std::int32_t>(static_cast<std::int64_t>(first) + k));
    }
  }
}

void parse_entry(MoeModel& model, ConfigObject& object, BlockContext& context) {
  const std::int64_t repeat = object.integer_or("repeat", 1, 1, model_limits::layers);
  const std::size_t first = model.blocks.size();
  if (object.has("blocks")) {
    for (ConfigObject& part : object.objects("blocks")) {
      model.blocks.push_back(parse_block(part, context));
      part.reject_unknown_keys();
    }
    if (model.blocks.size() == first) {
      object.fail("blocks", "is empty; list the blocks that repeat together");
    }
  } else {
    model.blocks.push_back(parse_block(object, context));
  }
  object.reject_unknown_keys();
  append_layers(model, object, first, repeat);
}

void parse_blocks(MoeModel& model, ConfigObject& object, BlockContext& context) {
  const Json* list = object.raw("blocks");
  if (list == nullptr || !list->is_array() || list->empty() ||
      list->size() > static_cast<std::size_t>(model_limits::layers)) {
    object.fail("blocks", "a list of 1 to " + text_of(model_limits::layers) +
                              " entries {\"repeat\": ..., \"attention\": ..., \"ffn\": [...]} is "
                              "needed");
  }
  for (ConfigObject& entry : object.objects("blocks")) {
    parse_entry(model, entry, context);
  }
}

// What single blocks cannot know: their neighbours.
void check_layers(const MoeModel& model, const ConfigObject& object) {
  const std::size_t count = model.layers.size();
  bool encoder = false;
  for (std::size_t i = 0; i < count; ++i) {
    const Block& block = model.layer(i);
    encoder = encoder || block.stack == Stack::encoder;
    const std::string layer = "layer " + std::to_string(i);
    if (i > 0 && block.stack == Stack::encoder && model.layer(i - 1).stack == Stack::decoder) {
      object.fail("blocks", layer + " is an encoder block after a decoder block; encoders first");
    }
    if (block.cross_attention && !encoder) {
      object.fail("blocks", layer + " has cross_attention, but there is no encoder block");
    }
    for (const FfnGroup& group : block.ffn) {
      const auto target =
          i + static_cast<std::size_t>(group.shortcut ? group.shortcut->adds_after_blocks : 0);
      if (target >= count || model.layer(target).stack != block.stack) {
        object.fail("blocks", layer + " has a shortcut that adds its output behind the last block");
      }
    }
  }
}

KvKind kv_kind_of_layers(const MoeModel& model) {
  KvKind all = KvKind::none;
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    if (model.layer(i).stack == Stack::encoder) {
      continue;
    }
    const KvKind own = kv_kind(model.layer(i).attention);
    if (all != KvKind::none && own != KvKind::none && all != own) {
      return KvKind::mixed;
    }
    all = own == KvKind::none ? all : own;
  }
  return all;
}

void parse_kv(MoeModel& model, ConfigObject& root) {
  const Json empty = Json::object();
  Json echo;
  const auto given = root.object_if("kv");
  ConfigObject object(given ? given->json() : empty, root.where("kv"), &echo);
  const std::string kind = object.choice_or("kind", "auto", kv_kinds);
  model.kv.kind = kv_kind_of_layers(model);
  if (kind != "auto" && kind != name_of(model.kv.kind)) {
    object.fail("kind", "\"" + kind + "\" does not fit the blocks, whose attention keeps \"" +
                            std::string(name_of(model.kv.kind)) + "\"");
  }
  object.set_effective("kind", name_of(model.kv.kind));
  model.kv.page_tokens = object.integer_or("page_tokens", model.kv.page_tokens, 1, 1 << 20);
  object.reject_unknown_keys();
  root.set_effective("kv", std::move(echo));
}

void parse_mtp(MoeModel& model, ConfigObject& root, BlockContext& context) {
  auto object = root.object_if("mtp");
  if (object) {
    MtpModules modules;
    modules.count = object->integer("count", 1, model_limits::rounds);
    modules.block = parse_block(*object, context);
    modules.block.mtp = true;
    if (modules.block.stack != Stack::decoder) {
      object->fail("stack", "multi-token-prediction modules are decoder blocks");
    }
    object->reject_unknown_keys();
    model.mtp = modules;
  }
  model.mtp_layers = root.integer_or("mtp_layers", 0, 0, model_limits::rounds);
  const std::int64_t available = model.mtp ? model.mtp->count : 0;
  if (model.mtp_layers > available) {
    root.fail("mtp_layers", text_of(model.mtp_layers) + " is more than the " + text_of(available) +
                                " multi-token-prediction modules of the model (mtp/count)");
  }
  if (model.mtp_layers > 0) {
    model.blocks.push_back(model.mtp->block);
    model.layers.insert(model.layers.end(), static_cast<std::size_t>(model.mtp_layers),
                        static_cast<std::int32_t>(model.blocks.size() - 1));
  }
}

// Equal blocks become one, so that what is worked out per block is worked out once.
void merge_equal_blocks(MoeModel& model) {
  std::vector<Block> distinct;
  std::vector<std::int32_t> becomes;
  for (Block& block : model.blocks) {
    auto known = std::ranges::find(distinct, block);
    if (known == distinct.end()) {
      distinct.push_back(std::move(block));
      known = distinct.end() - 1;
    }
    becomes.push_back(static_cast<std::int32_t>(known - distinct.begin()));
  }
  model.blocks = std::move(distinct);
  for (std::int32_t& layer : model.layers) {
    layer = becomes[static_cast<std::size_t>(layer)];
  }
}

}  // namespace

MoeModel parse_model(const Json& document, const std::string& where, Json* effective) {
  ConfigObject object(document, where, effective);
  MoeModel model;
  model.where = where;
  static_cast<void>(object.integer_or("schema", 1, 1, 1));
  model.name = object.text_or("name", "unnamed");
  model.sources = object.has("sources") ? object.texts("sources") : std::vector<std::string>{};
  model.date = object.text_or("date", "");
  model.notes = object.has("notes") ? object.texts("notes") : std::vector<std::string>{};
  model.checkpoint = object.text_or("checkpoint", "");
  model.hidden = object.integer("hidden", 1, model_limits::hidden);
  model.vocabulary = object.integer("vocabulary", 1, model_limits::vocabulary);
  model.tied_embeddings = object.boolean_or("tied_embeddings", false);
  model.residual_streams = object.integer_or("residual_streams", 1, 1, model_limits::rounds);
  BlockContext context;
  context.attention = object.raw("attention");
  context.attention_where = object.where("attention");
  parse_blocks(model, object, context);
  parse_mtp(model, object, context);
  merge_equal_blocks(model);
  if (context.attention != nullptr && !context.attention_used) {
    object.fail("attention", "is not used: every block has its own; remove it");
  }
  check_layers(model, object);
  parse_kv(model, object);
  object.reject_unknown_keys();
  if (effective != nullptr) {
    effective->erase("attention");  // every block repeats it
  }
  return model;
}

}  // namespace moesim
