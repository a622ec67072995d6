// The network of Megatron-LM's arguments.
#include <nlohmann/json.hpp>

#include "sim/core/error.h"
#include "sim/training/megatron_reader.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

// "([0]*3+[1]*12)", "[0,1,1]" or "2" (every second layer is MoE, from the first on).
std::vector<bool> moe_layers(MegatronReader& reader, std::int64_t layers) {
  const std::string text = reader.text_or("moe-layer-freq", "1");
  std::vector<bool> result;
  if (text.find('[') == std::string::npos) {
    const std::int64_t every = reader.count_or("moe-layer-freq", 1);
    for (std::int64_t i = 0; i < layers; ++i) {
      result.push_back(i % every == 0);
    }
    return result;
  }
  std::vector<bool> group;
  std::size_t at = 0;
  while (at < text.size()) {
    const char c = text[at++];
    if (c == '[') {
      group.clear();
    } else if (c == '0' || c == '1') {
      group.push_back(c == '1');
    } else if (c == ']') {
      std::int64_t times = 1;
      if (at < text.size() && text[at] == '*') {
        times = 0;
        for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9' && times < 10000; ++at) {
          times = 10 * times + (text[at] - '0');
        }
      }
      for (std::int64_t i = 0; i < times; ++i) {
        result.insert(result.end(), group.begin(), group.end());
      }
    } else if (c != ',' && c != ' ' && c != '+' && c != '(' && c != ')') {
      reader.fail("moe-layer-freq", "is not a list of 0 and 1 such as ([0]*3+[1]*58)");
    }
  }
  if (static_cast<std::int64_t>(result.size()) != layers) {
    reader.fail("moe-layer-freq", "does not name every layer of --num-layers once");
  }
  return result;
}

Json attention_of(MegatronReader& reader, std::int64_t hidden) {
  const std::int64_t heads = reader.count("num-attention-heads");
  if (reader.flag("multi-latent-attention")) {
    return {{"kind", "mla"},
            {"heads", heads},
            {"q_rank", reader.count_or("q-lora-rank", 0, 0)},
            {"kv_rank", reader.count_or("kv-lora-rank", 32)},
            {"nope_dim", reader.count_or("qk-head-dim", 128)},
            {"rope_dim", reader.count_or("qk-pos-emb-head-dim", 64, 0)},
            {"value_dim", reader.count_or("v-head-dim", 128)}};
  }
  const std::int64_t groups =
      reader.flag("group-query-attention") ? reader.count_or("num-query-groups", 1) : heads;
  Json attention{{"kind", groups == heads ? "mha" : "gqa"},
                 {"heads", heads},
                 {"kv_heads", groups},
                 {"head_dim", reader.count_or("kv-channels", hidden / heads)}};
  if (reader.flag("qk-layernorm")) {
    attention["qk_norm"] = "head";
  }
  if (reader.flag("add-qkv-bias")) {
    attention["qkv_bias"] = true;
  }
  return attention;
}

// Defaults of Megatron-LM's Mamba mixer: state 128, head 64, 8 groups, twice the hidden width.
Json mamba_of(MegatronReader& reader, std::int64_t hidden) {
  const std::int64_t head = reader.count_or("mamba-head-dim", 64);
  return {{"kind", "mamba"},
          {"heads", reader.count_or("mamba-num-heads", 2 * hidden / head)},
          {"head_dim", head},
          {"state_dim", reader.count_or("mamba-state-dim", 128)},
          {"groups", reader.count_or("mamba-num-groups", 8)}};
}

class Network {
 public:
  explicit Network(MegatronReader& reader)
      : reader_(reader),
        hidden_(reader.count("hidden-size")),
        layers_(reader.count("num-layers")),
        attention_(attention_of(reader, hidden_)),
        matrices_(reader.flag("swiglu") ? 3 : 2) {
    // Megatron-LM's default: 4 h, and two thirds of it, in steps of 64, with a gate.
    inter_ = reader.count_or("ffn-hidden-size",
                             matrices_ == 3 ? 8 * hidden_ / 3 / 64 * 64 : 4 * hidden_);
    experts_ = reader.count_or("num-experts", 0, 0);
    dense_ = {{"kind", "dense"}, {"inter", inter_}, {"matrices", matrices_}};
    if (experts_ > 0) {
      moe_ = moe();
    }
  }

  Json document() {
    Json model{{"schema", 1},
               {"name", "megatron"},
               {"sources", {"arguments of a Megatron-LM run"}},
               {"date", "of the run"},
               {"hidden", hidden_},
               {"vocabulary", vocabulary()},
               {"tied_embeddings", !reader_.flag("untie-embeddings-and-output-weights")}};
    std::string pattern = reader_.text_or("hybrid-layer-pattern", "");
    if (pattern.empty()) {
      pattern = reader_.text_or("hybrid-override-pattern", "");
    }
    const std::int64_t modules = reader_.count_or("mtp-num-layers", 0, 0);
    Json last;
    if (pattern.empty()) {
      for (const bool is_moe : moe_layers(reader_, layers_)) {
        add(Json{{"attention", attention_}, {"ffn", {is_moe && experts_ > 0 ? moe_ : dense_}}});
      }
      last = blocks_.back();
    } else {
      hybrid(pattern.substr(0, pattern.find('/')));
      last = {{"attention", attention_}, {"ffn", {experts_ > 0 ? moe_ : dense_}}};
    }
    model["blocks"] = std::move(blocks_);
    if (modules > 0) {
      last.erase("repeat");
      last["count"] = modules;
      model["mtp"] = std::move(last);
      model["mtp_layers"] = modules;
    }
    return model;
  }

 private:
  Json moe() {
    const std::int64_t inter = reader_.count_or("moe-ffn-hidden-size", inter_);
    Json router{{"top_k", reader_.count_or("moe-router-topk", 2)}};
    if (reader_.flag("moe-router-enable-expert-bias")) {
      router["bias"] = true;
    }
    Json group{
        {"kind", "moe"},
        {"experts",
         {{{"count", experts_}, {"kind", "ffn"}, {"inter", inter}, {"matrices", matrices_}}}},
        {"router", std::move(router)}};
    if (const std::int64_t shared = reader_.count_or("moe-shared-expert-intermediate-size", 0, 0);
        shared > 0) {
      group["shared"] = {{{"count", 1}, {"inter", shared}, {"matrices", matrices_}}};
    }
    if (const std::int64_t latent = reader_.count_or("moe-latent-size", 0, 0); latent > 0) {
      group["latent_dim"] = latent;
    }
    return group;
  }

  // M a Mamba mixer, * attention, - a dense FFN, E experts; a mixer takes the FFN behind it.
  void hybrid(const std::string& pattern) {
    if (static_cast<std::int64_t>(pattern.size()) != layers_ && reader_.has("num-layers")) {
      layers_ = static_cast<std::int64_t>(pattern.size());
    }
    Json block;
    const auto flush = [&] {
      if (!block.is_null()) {
        add(std::move(block));
        block = Json();
      }
    };
    for (const char c : pattern) {
      if (c == 'M' || c == '*') {
        flush();
        block = {{"attention", c == 'M' ? mamba_of(reader_, hidden_) : attention_},
                 {"ffn", Json::array()}};
      } else if (c == 'E' || c == '-') {
        if (block.is_null() || !block["ffn"].empty()) {
          flush();
          block = {{"attention", {{"kind", "none"}}}, {"ffn", Json::array()}};
        }
        block["ffn"].push_back(c == 'E' ? moe_ : dense_);
      } else {
        reader_.fail("hybrid-layer-pattern", "has other letters than M, *, - and E");
      }
    }
    flush();
  }

  void add(Json block) {
    if (!blocks_.empty() && blocks_.back()["attention"] == block["attention"] &&
        blocks_.back()["ffn"] == block["ffn"]) {
      blocks_.back()["repeat"] = blocks_.back()["repeat"].get<std::int64_t>() + 1;
    } else {
      block["repeat"] = 1;
      blocks_.push_back(std::move(block));
    }
  }

  std::int64_t vocabulary() {
    const std::string tokenizer = reader_.text_or("tokenizer-type", "");
    if (!reader_.has("vocab-size") && tokenizer.starts_with("GPT2BPETokenizer")) {
      return 50257;  // of the released vocabulary
    }
    if (!reader_.has("vocab-size") && tokenizer == "Llama2Tokenizer") {
      return 32000;
    }
    return reader_.count("vocab-size");
  }

  MegatronReader& reader_;
  std::int64_t hidden_;
  std::int64_t layers_;
  Json attention_;
  int matrices_;
  std::int64_t inter_ = 0;
  std::int64_t experts_ = 0;
  Json dense_;
  Json moe_;
  Json blocks_ = Json::array();
};

}  // namespace

nlohmann::json megatron_model(MegatronReader& reader) { return Network(reader).document(); }

nlohmann::json megatron_model(const MegatronArguments& arguments, const std::string& where) {
  MegatronReader reader(arguments, where);
  return megatron_model(reader);
}

}  // namespace moesim
