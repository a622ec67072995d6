// Kernels on code paths that engines avoid.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "calibrate/tables/kernel_rows.h"

namespace moesim {

// System, framework, version, family, kernel.
using MeasuredKernel = std::tuple<std::string, std::string, std::string, std::string, std::string>;

// Kernels nine of ten of whose cases (at least 100) take over 1.5 times what the fastest other
// kernel takes that was timed on the same device, in the same formats and shape: nobody who can
// choose runs them, however well a fit knows them. And all expert kernels of a framework's family
// that are over 1.05 times as slow as another framework's in most of the cases (at least 100) that
// both were timed on: engines take the fast one.
std::set<MeasuredKernel> slow_paths(const std::vector<KernelRows>& tables);

// Cases in which a kernel is the fastest of its profile and family less those in which another is,
// of the shapes that several were timed on. 0 for kernels that are alone.
std::map<MeasuredKernel, std::int64_t> won_cases(const std::vector<KernelRows>& tables);

}  // namespace moesim
