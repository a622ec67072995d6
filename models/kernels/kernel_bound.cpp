#include "models/kernels/kernel_bound.h"

#include <algorithm>
#include <cmath>

namespace moesim {
namespace {

// Beyond the fitted range every octave costs as much trust again, and a little more.
constexpr double k_sigma_per_octave = 0.05;
constexpr double k_sigma_spec_sheet = 0.5;

double sigma_of(const BoundFamily& bound, const KernelShape& shape, bool outside, double seconds) {
  if (bound.basis == Basis::uncalibrated) {
    return k_sigma_spec_sheet;
  }
  double own = standard_error(*bound.family, seconds);
  if (outside) {
    const double octaves = octaves_outside(*bound.family, shape.dims);
    own = own * (1 + octaves) + k_sigma_per_octave * octaves;
  }
  const double moved = bound.basis == Basis::transferred ? bound.transfer_sigma : 0.0;
  return std::hypot(own, moved);
}

}  // namespace

KernelEstimate BoundFamily::estimate(const KernelShape& shape) const {
  Contexts of{context, fitted};
  if (shape.weight_bits > 0) {
    of.here.storage_bytes = of.there.storage_bytes = storage_bytes(shape);
  }
  const auto above = std::ranges::upper_bound(family->grid, shape.dims[0]);
  if (above == family->grid.begin() || above == family->grid.end() ||
      *std::prev(above) == shape.dims[0]) {
    return at(shape, of);
  }
  return between(shape, of, *std::prev(above), *above);
}

KernelEstimate BoundFamily::between(const KernelShape& shape, const Contexts& of, double below,
                                    double above) const {
  KernelShape neighbour = shape;
  neighbour.dims[0] = below;
  const KernelEstimate low = at(neighbour, of);
  neighbour.dims[0] = above;
  const KernelEstimate high = at(neighbour, of);
  KernelEstimate result = at(shape, of);
  const double share = std::log(shape.dims[0] / below) / std::log(above / below);
  const double seconds =
      std::max(low.alone().si() * std::pow(high.alone().si() / low.alone().si(), share),
               least_seconds(useful_work(shape), spec));
  const double scale = seconds / result.alone().si();
  result.fixed = result.fixed * scale;
  result.compute = result.compute * scale;
  result.memory = result.memory * scale;
  result.sigma = std::hypot(std::max(low.sigma, high.sigma), std::log(scale));
  return result;
}

// Of a window that nobody measured, decoding reads the keys that are left as it would read a
// context of so many; in prefill the form counts the tiles inside the window.
KernelEstimate BoundFamily::form_at(const KernelShape& shape, const Contexts& of) const {
  const bool as_context = !same_keys && shape.key.kind == KernelKind::attention_window_decode;
  return family->form->evaluate(coefficients, as_context ? without_window(shape) : shape, of.here);
}

KernelEstimate BoundFamily::at(const KernelShape& shape, const Contexts& of) const {
  const UsefulWork work = useful_work(shape);
  // What was measured nearest to the shape: attention to all keys of the window.
  const KernelShape known = same_keys ? shape : without_window(shape);
  KernelEstimate result = form_at(shape, of);
  const double alone = result.alone().si();
  double scale = correction(known, same_keys ? result : form_at(known, of), of);
  // Coefficients that a fit found below 1 (overlaps, caches) must not let another device, or a
  // shape that nobody measured, beat its own peaks.
  const double bound = least_seconds(work, spec);
  if (alone * scale < bound && alone > 0) {
    scale = bound / alone;
  }
  result.fixed = result.fixed * scale;
  result.compute = result.compute * scale;
  result.memory = result.memory * scale;
  const bool outside = !inside_range(*family, known.dims);
  result.extrapolated = outside || !same_keys;
  result.flops = Flops(work.flops);
  result.bytes = Bytes(work.bytes);
  result.sigma = sigma_of(*this, known, outside, result.alone().si());
  return result;
}

// What the form left unexplained where it was measured is the shape's, whatever the device: the
// trees are asked with what the form says there.
double BoundFamily::correction(const KernelShape& shape, const KernelEstimate& form,
                               const Contexts& of) const {
  if (!corrected) {
    return 1.0;
  }
  const FeatureVector features =
      moved ? features_of(shape, family->form->evaluate(family->coefficients, shape, of.there),
                          of.there)
            : features_of(shape, form, of.here);
  return std::exp(family->correction->log_factor(features));
}

}  // namespace moesim
