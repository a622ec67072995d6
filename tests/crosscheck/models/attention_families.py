"""Families whose layers are attention and a dense or sparse FFN."""

import math

from parts import delta_net, ends, gated_ffn, get, latent, of_config, softmax


def deepseek(count, c, attention=latent, method="noaux_tc"):
    hidden = c["hidden_size"]
    method = c.get("topk_method") or method
    for i in range(c["num_hidden_layers"]):
        count.norm(2 * hidden)
        attention(count, c)
        sparse = c.get("n_routed_experts") and i >= (c.get("first_k_dense_replace") or 0) and \
            i % (c.get("moe_layer_freq") or 1) == 0
        if c.get("mlp_layer_types"):
            sparse = c["mlp_layer_types"][i] == "sparse"
        if not sparse:
            gated_ffn(count, hidden, c["intermediate_size"])
            continue
        count.linear(hidden, c["n_routed_experts"])
        if method == "noaux_tc":
            count.add(c["n_routed_experts"])
        inter = c["moe_intermediate_size"]
        gated_ffn(count, hidden, inter, c["n_routed_experts"], c["num_experts_per_tok"])
        if c.get("n_shared_experts"):
            gated_ffn(count, hidden, inter * c["n_shared_experts"])
    ends(count, c, c.get("tie_word_embeddings", False))


def deepseek_v1(count, c):
    def attention(count, c):
        heads, kv, dim = of_config(c)
        softmax(count, c["hidden_size"], heads, kv, dim)
    deepseek(count, c, attention, "greedy")


def deepseek_v2(count, c):
    deepseek(count, c, method="greedy")


def deepseek_v4(count, c):
    hidden, dim, rank = c["hidden_size"], c["head_dim"], c["q_lora_rank"]
    heads, streams = c["num_attention_heads"], c["hc_mult"]
    mixes = (2 + streams) * streams
    for i in range(c["num_hidden_layers"]):
        count.norm(2 * hidden)
        count.linear(hidden, rank)
        count.norm(rank)
        count.linear(rank, heads * dim)
        count.linear(hidden, dim)
        count.norm(dim)
        count.linear(heads * dim // c["o_groups"], c["o_groups"] * c["o_lora_rank"])
        count.linear(c["o_groups"] * c["o_lora_rank"], hidden)
        count.add(heads)  # sinks
        count.kv += 2 * dim
        ratio = c["compress_ratios"][i]
        wide = 2 if ratio == 4 else 1
        if ratio:
            count.linear(hidden, wide * dim)
            count.linear(hidden, wide * dim)
            count.add(ratio * wide * dim)
            count.norm(dim)
            count.kv += 2 * dim / ratio
            count.state += 4 * 2 * wide * ratio * wide * dim
        if ratio == 4:
            index, n = c["index_head_dim"], c["index_n_heads"]
            count.linear(hidden, 2 * index)
            count.linear(hidden, 2 * index)
            count.add(ratio * 2 * index)
            count.norm(index)
            count.linear(rank, n * index)
            count.linear(hidden, n)
            count.kv += (index + 4 * math.ceil(index / 128)) / ratio
            count.state += 4 * 2 * 2 * ratio * 2 * index
        for _ in range(2):  # hyper-connections around attention and FFN
            count.add(mixes * streams * hidden + mixes + 3)
        count.linear(hidden, c["n_routed_experts"])
        if i >= c["num_hash_layers"]:
            count.add(c["n_routed_experts"])
        inter = c["moe_intermediate_size"]
        gated_ffn(count, hidden, inter, c["n_routed_experts"], c["num_experts_per_tok"])
        gated_ffn(count, hidden, inter * c["n_shared_experts"])
    count.add(streams * streams * hidden + streams + 1)
    ends(count, c, c.get("tie_word_embeddings", False))


def llama(count, c):
    heads, kv, dim = of_config(c)
    bias = bool(c.get("attention_bias"))
    for _ in range(c["num_hidden_layers"]):
        count.norm(2 * c["hidden_size"])
        softmax(count, c["hidden_size"], heads, kv, dim, bias=bias, out_bias=bias)
        gated_ffn(count, c["hidden_size"], c["intermediate_size"], bias=bool(c.get("mlp_bias")))
    ends(count, c, c.get("tie_word_embeddings", False))


def mixtral(count, c):
    heads, kv, dim = of_config(c, 8)
    for _ in range(c["num_hidden_layers"]):
        count.norm(2 * c["hidden_size"])
        softmax(count, c["hidden_size"], heads, kv, dim)
        count.linear(c["hidden_size"], c["num_local_experts"])
        gated_ffn(count, c["hidden_size"], c["intermediate_size"], c["num_local_experts"],
                  c["num_experts_per_tok"])
    ends(count, c, c.get("tie_word_embeddings", False))


def llama4(count, c):
    heads, kv, dim = of_config(c, 8)
    bias = bool(c.get("attention_bias"))
    step = get(c, "interleave_moe_layer_step", default=1)
    for i in range(c["num_hidden_layers"]):
        count.norm(2 * c["hidden_size"])
        softmax(count, c["hidden_size"], heads, kv, dim, bias=bias, out_bias=bias)
        if i in range(step - 1, c["num_hidden_layers"], step):
            count.linear(c["hidden_size"], c["num_local_experts"])
            gated_ffn(count, c["hidden_size"], c["intermediate_size"], c["num_local_experts"],
                      c["num_experts_per_tok"])
            gated_ffn(count, c["hidden_size"], c["intermediate_size"])
        else:
            gated_ffn(count, c["hidden_size"], c["intermediate_size_mlp"])
    ends(count, c, c.get("tie_word_embeddings", False))


def nemotron_nas(count, c):
    hidden, heads = c["hidden_size"], c["num_attention_heads"]
    for block in c["block_configs"]:
        attention, ffn = block["attention"], block["ffn"]
        if not attention["no_op"]:
            count.norm(hidden)
            softmax(count, hidden, heads, heads // attention["n_heads_in_group"], hidden // heads)
        if not ffn["no_op"]:
            count.norm(hidden)
            width = int(2 * ffn["ffn_mult"] * hidden / 3)
            gated_ffn(count, hidden, width if width % 256 == 0 else width + 256 - width % 256)
    ends(count, c, c.get("tie_word_embeddings", False))


def qwen_moe_ffn(count, c, i, shared):
    sparse = c.get("num_experts") and (i + 1) % (c.get("decoder_sparse_step") or 1) == 0 and \
        i not in (c.get("mlp_only_layers") or [])
    hidden = c["hidden_size"]
    if not sparse:
        gated_ffn(count, hidden, c["intermediate_size"])
        return
    count.linear(hidden, c["num_experts"])
    gated_ffn(count, hidden, c["moe_intermediate_size"], c["num_experts"],
              c["num_experts_per_tok"])
    if shared and c.get("shared_expert_intermediate_size"):
        gated_ffn(count, hidden, c["shared_expert_intermediate_size"])
        count.linear(hidden, 1)


def qwen(count, c, bias=None, norm=None, shared=False, default_kv=32, default_dim=None):
    heads, kv, dim = of_config(c, default_kv)
    dim = c.get("head_dim") or default_dim or dim
    has_bias = bool(c.get("attention_bias")) if bias is None else bias
    for i in range(c["num_hidden_layers"]):
        count.norm(2 * c["hidden_size"])
        softmax(count, c["hidden_size"], heads, kv, dim, bias=has_bias,
                out_bias=has_bias and bias is None, norm=norm)
        qwen_moe_ffn(count, c, i, shared)
    ends(count, c, c.get("tie_word_embeddings", False))


def qwen2(count, c):
    qwen(count, c, bias=True)


def qwen2_moe(count, c):
    qwen(count, c, bias=c.get("qkv_bias", True), shared=True, default_kv=16)


def qwen3(count, c):
    qwen(count, c, norm="head", default_dim=128)


def qwen3_moe(count, c):
    qwen(count, c, norm="head", default_kv=4)


def qwen3_next(count, c):
    heads, kv, dim = of_config(c, 2)
    interval = c.get("full_attention_interval", 4)
    kinds = c.get("layer_types") or ["full_attention" if (i + 1) % interval == 0 else "linear"
                                     for i in range(c["num_hidden_layers"])]
    for i, kind in enumerate(kinds):
        count.norm(2 * c["hidden_size"])
        if kind == "full_attention":
            softmax(count, c["hidden_size"], heads, kv, dim, norm="head", gate=heads * dim)
        else:
            delta_net(count, c)
        qwen_moe_ffn(count, c, i, True)
    ends(count, c, c.get("tie_word_embeddings", False))


def mimo(count, c):
    qwen(count, c, bias=bool(c.get("attention_bias", True)))


def minimax_m2(count, c):
    heads, kv, dim = of_config(c)
    for _ in range(c["num_hidden_layers"]):
        count.norm(2 * c["hidden_size"])
        softmax(count, c["hidden_size"], heads, kv, dim, norm="full")
        count.linear(c["hidden_size"], c["num_local_experts"])
        count.add(c["num_local_experts"])
        gated_ffn(count, c["hidden_size"], c["intermediate_size"], c["num_local_experts"],
                  c["num_experts_per_tok"])
    ends(count, c, c.get("tie_word_embeddings", False))


def gpt_oss(count, c):
    heads, kv, dim = of_config(c)
    hidden, inter, experts = c["hidden_size"], c["intermediate_size"], c["num_local_experts"]
    for _ in range(c["num_hidden_layers"]):
        count.norm(2 * hidden)
        softmax(count, hidden, heads, kv, dim, bias=True, out_bias=True, sinks=True)
        count.linear(hidden, experts, True)
        gated_ffn(count, hidden, inter, experts, c["num_experts_per_tok"], bias=True)
    ends(count, c, c.get("tie_word_embeddings", False))


def glm4_moe(count, c):
    def attention(count, c):
        heads, kv, dim = of_config(c, 8)
        softmax(count, c["hidden_size"], heads, kv, dim, bias=bool(c.get("attention_bias")),
                norm="head" if c.get("use_qk_norm") else None)
    deepseek(count, c, attention)


def ernie(count, c):
    heads, kv, dim = of_config(c, 4)
    hidden, experts = c["hidden_size"], c["moe_num_experts"]
    last = c.get("moe_layer_end_index", -1)
    last = c["num_hidden_layers"] - 1 if last == -1 else last
    for i in range(c["num_hidden_layers"]):
        count.norm(2 * hidden)
        softmax(count, hidden, heads, kv, dim)
        if c.get("moe_layer_start_index", 1) <= i <= last and \
                (i + 1) % c.get("moe_layer_interval", 1) == 0:
            count.linear(hidden, experts)
            count.add(experts)
            gated_ffn(count, hidden, c["moe_intermediate_size"], experts, c["moe_k"])
            if c.get("moe_num_shared_experts", 2):
                gated_ffn(count, hidden,
                          c["moe_intermediate_size"] * c.get("moe_num_shared_experts", 2))
        else:
            gated_ffn(count, hidden, c["intermediate_size"])
    ends(count, c, c.get("tie_word_embeddings", True))
