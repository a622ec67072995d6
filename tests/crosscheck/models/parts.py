"""What classes of several families have in common: sums of tensors of their parts."""


import math


class Count:
    """Sums of sizes; `with experts(n, k)` of one expert among n, of which k answer."""

    def __init__(self):
        self.total = 0
        self.active = 0
        self.kv = 0.0
        self.state = 0.0

    def add(self, size, copies=1, used=None):
        self.total += size * copies
        self.active += size * (copies if used is None else used)

    def linear(self, inputs, outputs, bias=False, copies=1, used=None):
        self.add(inputs * outputs + (outputs if bias else 0), copies, used)

    def norm(self, width):
        self.add(width)


def get(config, *names, default=None):
    for name in names:
        if config.get(name) is not None:
            return config[name]
    if default is None:
        raise KeyError(names)
    return default


def gated_ffn(count, hidden, inter, copies=1, used=None, bias=False):
    count.linear(hidden, inter, bias, copies, used)
    count.linear(hidden, inter, bias, copies, used)
    count.linear(inter, hidden, bias, copies, used)


def plain_ffn(count, hidden, inter, copies=1, used=None):
    count.linear(hidden, inter, False, copies, used)
    count.linear(inter, hidden, False, copies, used)


def softmax(count, hidden, heads, kv_heads, dim, value=None, bias=False, out_bias=False,
            norm=None, sinks=False, gate=0, no_values=False):
    value = value or dim
    count.linear(hidden, heads * dim, bias)
    count.linear(hidden, kv_heads * dim, bias)
    if not no_values:
        count.linear(hidden, kv_heads * value, bias)
    count.linear(heads * value, hidden, out_bias)
    if gate:
        count.linear(hidden, gate)
    if norm == "head":
        count.norm(dim)
        count.norm(dim)
    elif norm == "full":
        count.norm(heads * dim)
        count.norm(kv_heads * dim)
    if sinks:
        count.add(heads)
    count.kv += 2 * kv_heads * (dim + value)


def of_config(config, default_kv=None):
    heads = get(config, "num_attention_heads")
    dim = get(config, "head_dim", default=config["hidden_size"] // heads)
    return heads, get(config, "num_key_value_heads", default=default_kv or heads), dim


def latent(count, config):
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    nope, rope, value = (config[k] for k in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"))
    bias = bool(config.get("attention_bias"))
    rank = config.get("q_lora_rank")
    if rank:
        count.linear(hidden, rank, bias)
        count.norm(rank)
        count.linear(rank, heads * (nope + rope))
    else:
        count.linear(hidden, heads * (nope + rope))
    count.linear(hidden, config["kv_lora_rank"] + rope, bias)
    count.norm(config["kv_lora_rank"])
    count.linear(config["kv_lora_rank"], heads * (nope + value))
    count.linear(heads * value, hidden, bias)
    count.kv += 2 * (config["kv_lora_rank"] + rope)
    if config.get("index_topk"):
        dim = config["index_head_dim"]
        count.linear(rank, config["index_n_heads"] * dim)
        count.linear(hidden, dim)
        count.norm(2 * dim)  # a LayerNorm: weight and bias
        count.linear(hidden, config["index_n_heads"])
        count.kv += dim + 4 * math.ceil(dim / 128)  # fp8 with scales


def delta_net(count, config):
    hidden = config["hidden_size"]
    keys = config["linear_num_key_heads"] * config["linear_key_head_dim"]
    values = config["linear_num_value_heads"] * config["linear_value_head_dim"]
    heads, width = config["linear_num_value_heads"], config["linear_conv_kernel_dim"]
    count.linear(hidden, 2 * keys + 2 * values)  # q, k, v, z
    count.linear(hidden, 2 * heads)              # b, a
    count.add((2 * keys + values) * width)       # conv1d
    count.add(2 * heads)                         # dt_bias, A_log
    count.norm(config["linear_value_head_dim"])
    count.linear(values, hidden)
    count.state += 4 * heads * config["linear_key_head_dim"] * config["linear_value_head_dim"]
    count.state += 2 * width * (2 * keys + values)


def mamba2(count, hidden, heads, dim, state, groups, width, conv_bias, bias):
    inner = heads * dim
    mixed = inner + 2 * groups * state
    count.linear(hidden, inner + mixed + heads, bias)
    count.add(mixed * width + (mixed if conv_bias else 0))
    count.add(3 * heads)  # dt_bias, A_log, D
    count.norm(inner)
    count.linear(inner, hidden, bias)
    count.state += 4 * inner * state + 2 * width * mixed


def ends(count, config, tied):
    count.add(config["vocab_size"] * config["hidden_size"])
    if not tied:
        count.add(config["vocab_size"] * config["hidden_size"])
    count.norm(config["hidden_size"])
