// The plain roofline and bandwidth-bound kernels.
#include <cmath>

#include "models/kernels/kernel_form.h"

namespace moesim {
namespace {

namespace stream {
enum Coefficient : std::size_t { t0, e_mem, l2_share };
}
namespace roofline {
enum Coefficient : std::size_t { t0, e_comp, e_mem };
}

KernelEstimate evaluate_stream(std::span<const double> c, const KernelShape& shape,
                               const KernelContext& x) {
  const double bytes = shape.dims[dim::read] + shape.dims[dim::written];
  const double reuse = 1 - 0.8 * std::exp(-bytes / (c[stream::l2_share] * x.l2));
  const double memory = bytes * reuse * c[stream::e_mem] / x.bandwidth;
  return detail::split(c[stream::t0] + memory, 0.0, memory);
}

KernelEstimate evaluate_roofline(std::span<const double> c, const KernelShape& shape,
                                 const KernelContext& x) {
  const UsefulWork work = useful_work(shape);
  const double compute = work.flops * c[roofline::e_comp] / x.peak;
  const double memory = work.bytes * c[roofline::e_mem] / x.bandwidth;
  return detail::split(c[roofline::t0] + (compute > memory ? compute : memory), compute, memory);
}

KernelEstimate evaluate_counted(std::span<const double> c, const KernelShape& shape,
                                const KernelContext& x) {
  const double compute = shape.dims[dim::computed] * c[roofline::e_comp] / x.peak;
  const double memory = shape.dims[dim::bytes] * c[roofline::e_mem] / x.bandwidth;
  return detail::split(c[roofline::t0] + (compute > memory ? compute : memory), compute, memory);
}

}  // namespace

KernelForm stream_form() {
  return {"stream",
          "t0 + bytes*e_mem*(1 - 0.8 exp(-bytes/(l2_share*L2)))/BW",
          {{"t0", 3e-6, 3e-7, 1e-4}, {"e_mem", 1.2, 0.8, 4}, {"l2_share", 0.3, 0.005, 4}},
          evaluate_stream};
}

KernelForm roofline_form() {
  return {"roofline",
          "t0 + max(flops*e_comp/peak, bytes*e_mem/BW)",
          {{"t0", 1e-5, 3e-7, 5e-4}, {"e_comp", 1.5, 0.8, 20}, {"e_mem", 1.3, 0.5, 20}},
          evaluate_roofline};
}

KernelForm counted_form() {
  return {"counted",
          "t0 + max(computed*e_comp/peak, bytes*e_mem/BW), computed = flops with those of masked "
          "and empty slots",
          {{"t0", 1e-5, 3e-7, 5e-4}, {"e_comp", 1.5, 0.8, 20}, {"e_mem", 1.3, 0.8, 20}},
          evaluate_counted};
}

}  // namespace moesim
