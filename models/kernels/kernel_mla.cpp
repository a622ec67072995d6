// Multi-head latent attention without projections: prefill with expanded heads, decode absorbed.
#include <algorithm>
#include <cmath>

#include "models/kernels/kernel_attention_tiles.h"
#include "models/kernels/kernel_form.h"

namespace moesim {
namespace {

KernelEstimate evaluate_context(std::span<const double> c, const KernelShape& shape,
                                const KernelContext& x) {
  const KernelDims& d = shape.dims;
  return detail::causal_tiles(c, shape, x, d[dim::nope] + d[dim::rope] + d[dim::value]);
}

namespace decode {
enum Coefficient : std::size_t {
  t0,
  e_mem,
  e_comp,
  t_item,
  t_chunk,
  per_query,
  t_split,
  l2_share,
  wave,
  least_wave,
  serial
};
constexpr double k_block = 64;  // keys and query heads of one step
}  // namespace decode

KernelEstimate evaluate_decode(std::span<const double> c, const KernelShape& shape,
                               const KernelContext& x) {
  using namespace decode;
  const KernelDims& d = shape.dims;
  const UsefulWork work = useful_work(shape);
  // 64 query heads share one pass over the latents; fewer are padded.
  const double rows = detail::ceil_div(d[dim::heads] * d[dim::query_len], k_block);
  const double products =
      2 * k_block * k_block * (2 * d[dim::latent] + d[dim::rope]) * c[e_comp] * x.sms / x.peak;
  const detail::SplitKv split{d[dim::sequences] * rows,
                              d[dim::context] < k_block
                                  ? d[dim::context] / k_block
                                  : detail::ceil_div(d[dim::context], k_block),
                              c[t_item],
                              c[t_chunk] + products,
                              c[t_split],
                              c[wave],
                              c[least_wave]};
  const double compute = detail::split_kv_time(split, x.sms);
  const double reuse = 1 - 0.8 * std::exp(-work.bytes / (c[l2_share] * x.l2));
  const double memory = work.bytes * c[e_mem] * reuse / x.bandwidth;
  const double total = c[t0] + c[per_query] * d[dim::sequences] * d[dim::heads] +
                       detail::overlapped(memory, compute, c[serial]);
  return detail::split(total, std::min(compute, work.flops * c[e_comp] / x.peak), memory);
}

// The projections' coefficients follow those of the attention.
namespace projection {
enum Coefficient : std::size_t { e_mem, e_comp, t_tile, passes, count };
constexpr double k_rows = 64;
constexpr double k_columns = 128;
}  // namespace projection

// Projections one after the other, each in tiles of 64 x 128, and passes over the hidden rows for
// norms, rotary embedding and quantisation. `core`: the attention; `own`: the last coefficients.
KernelEstimate with_projections(std::span<const double> own, const KernelEstimate& core,
                                const KernelShape& shape, const KernelContext& x) {
  using namespace projection;
  constexpr double wave = 0.6;
  constexpr double serial = 0.2;
  const KernelDims& d = shape.dims;
  const double rows = d[dim::sequences] * d[dim::query_len];
  const double passing = own[passes] * 2 * rows * d[dim::model_width] / x.bandwidth;
  double total = core.alone().si() + passing;
  double compute = core.compute.si();
  double memory = core.memory.si() + passing;
  for (const detail::Product& p : detail::mla_module_products(shape)) {
    if (p.batch <= 0) {
      continue;
    }
    const double bytes =
        p.batch * ((p.m * p.k + p.n * p.k) * x.operand_bytes + 2 * p.m * p.n) * own[e_mem];
    const double tiles = p.batch * detail::ceil_div(p.m, k_rows) * detail::ceil_div(p.n, k_columns);
    const double tile = 2 * k_rows * k_columns * p.k * own[e_comp] * x.sms / x.peak + own[t_tile];
    total += detail::overlapped(bytes / x.bandwidth, detail::waves(tiles / x.sms, wave, 1) * tile,
                                serial);
    compute += 2 * p.m * p.n * p.k * p.batch * own[e_comp] / x.peak;
    memory += bytes / x.bandwidth;
  }
  return detail::split(total, compute, memory);
}

KernelEstimate evaluate_module_context(std::span<const double> c, const KernelShape& shape,
                                       const KernelContext& x) {
  const std::size_t core = c.size() - projection::count;
  return with_projections(c.subspan(core),
                          evaluate_context(c.first(core), detail::mla_core(shape), x), shape, x);
}

KernelEstimate evaluate_module_decode(std::span<const double> c, const KernelShape& shape,
                                      const KernelContext& x) {
  const std::size_t core = c.size() - projection::count;
  return with_projections(c.subspan(core),
                          evaluate_decode(c.first(core), detail::mla_core(shape), x), shape, x);
}

KernelForm module_form(KernelForm core, std::string_view name, std::string_view equation) {
  core.name = name;
  core.equation = equation;
  core.parameters.front() = {"t0", 8e-5, 1e-6, 1e-3};  // a dozen launches
  for (Parameter& parameter : core.parameters) {
    if (parameter.name == "e_comp") {
      parameter.max = 40;  // the attention may compute in a wider format than the projections
    }
  }
  const std::array<Parameter, projection::count> own{Parameter{"e_projection_mem", 1.2, 0.5, 6},
                                                     {"e_projection_comp", 1.4, 0.7, 8},
                                                     {"t_projection_tile", 1e-6, 1e-8, 2e-5},
                                                     {"passes", 8, 0.05, 200}};
  core.parameters.insert(core.parameters.end(), own.begin(), own.end());
  return core;
}

}  // namespace

namespace detail {

KernelShape mla_core(const KernelShape& module_shape) {
  KernelShape core = module_shape;
  core.key.kind = module_shape.key.kind == KernelKind::mla_module_context ? KernelKind::mla_context
                                                                          : KernelKind::mla_decode;
  return core;
}

std::array<Product, 5> mla_module_products(const KernelShape& shape) {
  const KernelDims& d = shape.dims;
  const double rows = d[dim::sequences] * d[dim::query_len];
  const double width = d[dim::model_width];
  const double heads = d[dim::heads];
  const Product compress{rows, d[dim::query_rank] + d[dim::latent] + d[dim::rope], width, 1};
  const Product queries{rows, heads * (d[dim::nope] + d[dim::rope]), d[dim::query_rank], 1};
  const Product output{rows, width, heads * d[dim::value], 1};
  if (shape.key.kind == KernelKind::mla_module_context) {
    const double keys = d[dim::sequences] * d[dim::context];
    const Product expand{keys, heads * (d[dim::nope] + d[dim::value]), d[dim::latent], 1};
    return {compress, queries, expand, output, Product{}};
  }
  return {compress, queries, Product{rows, d[dim::latent], d[dim::nope], heads},
          Product{rows, d[dim::value], d[dim::latent], heads}, output};
}

}  // namespace detail

KernelForm mla_context_form() {
  return {"mla_causal_tiles", detail::k_causal_equation, detail::causal_parameters(),
          evaluate_context};
}

KernelForm mla_decode_form() {
  return {"mla_split_kv",
          "t0 + per_query*sequences*heads + overlap(latent bytes*e_mem*reuse/BW, min over splits "
          "of waves(items*split)*(t_item + chunks/split*(products*e_comp + t_chunk)) + t_split)",
          {{"t0", 8e-6, 5e-7, 2e-4},
           {"e_mem", 1.2, 0.8, 6},
           {"e_comp", 1.5, 0.5, 20},
           {"t_item", 1e-6, 1e-8, 3e-5},
           {"t_chunk", 1e-7, 1e-9, 1e-5},
           {"per_query", 1e-10, 1e-13, 1e-7},
           {"t_split", 2e-6, 1e-8, 5e-5},
           {"l2_share", 0.3, 0.005, 4},
           {"wave", 0.7, 0.05, 1},
           {"least_wave", 0.6, 0.05, 10},
           {"serial", 0.2, 0.001, 1}},
          evaluate_decode};
}

KernelForm mla_module_context_form() {
  KernelForm form =
      module_form(mla_context_form(), "mla_module_causal_tiles",
                  "mla_causal_tiles + sum over projections of overlap(bytes*e_projection_mem/BW, "
                  "waves of 64x128 tiles) + passes*hidden bytes/BW");
  form.evaluate = evaluate_module_context;
  return form;
}

KernelForm mla_module_decode_form() {
  KernelForm form =
      module_form(mla_decode_form(), "mla_module_split_kv",
                  "mla_split_kv + sum over projections of overlap(bytes*e_projection_mem/BW, waves "
                  "of 64x128 tiles) + passes*hidden bytes/BW");
  form.evaluate = evaluate_module_decode;
  return form;
}

}  // namespace moesim
