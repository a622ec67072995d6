// Which equation a family of kernels is fitted with, and which of its terms.
#pragma once

#include <string_view>
#include <vector>

#include "calibrate/fit/least_squares.h"
#include "models/kernels/kernel_form.h"

namespace moesim {

// The form that models a kind of kernel.
const KernelForm& form_of(KernelKind kind);

// Terms that a kernel does not have are fixed.
std::vector<FitParameter> fit_parameters(const KernelForm& form, const KernelKey& key,
                                         std::string_view kernel_source);

}  // namespace moesim
