// A profile: the fitted kernel families of one device and framework, with the evidence for each.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "models/kernels/kernel_correction.h"

namespace moesim {

struct FitRange {
  double min = 0;
  double max = 0;
};

struct ErrorSummary {
  double median = 0;  // of |predicted/measured - 1|
  double p90 = 0;

  friend bool operator==(const ErrorSummary&, const ErrorSummary&) = default;
};

// Spread of left-out measurements around predictions of similar length.
struct ErrorBand {
  double up_to = 0;  // longest prediction, s, that the band holds for
  double sigma = 0;  // standard error of ln(measured/predicted)
};

// Of experts' rows: the layer (permutation, products, activation), or its two products.
inline constexpr std::array<std::string_view, 2> k_timed_names{"layer", "products"};

struct FittedFamily {
  KernelKind kind = KernelKind::gemm;
  std::optional<DType> dtype;  // absent: any format (spec sheet)
  std::optional<DType> storage;
  KernelAlgorithm algorithm = {};
  bool products_alone = false;  // of experts: without permutation and activation (expert_passes)
  // Nine of ten cases take over 1.5 times what another kernel takes on the device.
  bool slow_path = false;
  std::string kernel_source;  // the benchmark's name of the kernel; empty: any
  bool preferred = false;     // answers when no kernel is named
  const KernelForm* form = nullptr;
  std::vector<double> coefficients;                    // in the order of form->parameters
  std::shared_ptr<const CorrectionForest> correction;  // null: the form alone
  std::vector<FitRange> range;                         // of the first dimensions of dim_names(kind)
  // Batches that were measured (dims[0]), ascending, of kernels whose waves over the
  // multiprocessors no row shows between them; empty: the form answers everywhere.
  std::vector<double> grid;
  std::int64_t rows_used = 0;
  std::int64_t rows_skipped = 0;
  std::int64_t rows_erratic = 0;  // of rows_used: too slow for any shape to predict
  ErrorSummary in_sample;
  ErrorSummary left_out;               // whole shape groups left out of the fit
  ErrorSummary left_out_form;          // same, of the form without its correction
  ErrorSummary neighbour;              // of the nearest measured shape, scaled by the roofline
  ErrorSummary naive;                  // spec-sheet roofline of ideal work
  double host_floor = 0;               // s; > 0: of most rows it is the host's launches that were
                                       // timed, whatever the size; 0: the device's work
  std::vector<ErrorBand> error_bands;  // ascending; longer predictions use the last one
  double inside_p10_p90 = 0;           // share of left-out rows within the bands of other folds
  std::string source;

  [[nodiscard]] bool answers(const KernelKey& key) const {
    return kind == key.kind && dtype.value_or(key.dtype) == key.dtype &&
           storage.value_or(key.storage) == key.storage && (!dtype || algorithm == key.algorithm);
  }
  [[nodiscard]] std::string name() const;
};

// What choosing a law needs to know of a family.
struct KnownLaw {
  ErrorSummary left_out = {};
  bool slow_path = false;
  bool host_bound = false;  // has a host_floor

  friend bool operator==(const KnownLaw&, const KnownLaw&) = default;
};
using KnownLaws = std::map<std::string, KnownLaw, std::less<>>;  // by family name

struct KernelProfile {
  DevicePeaks device;  // the rates that the coefficients refer to; name "any" for the spec sheet
  std::string framework;
  std::string version;
  std::string date;  // of the measurements
  // Of the families, ascending, as the file lists them ahead of its families; empty: it does not.
  std::vector<KernelKind> operations;
  // What laws the families are, as the file lists them ahead of its families: which law answers is
  // decided before any is read. Empty: it does not.
  KnownLaws laws;
  std::vector<FittedFamily> families;

  [[nodiscard]] std::string name() const;  // "h100_sxm/trtllm-1.3.0rc20"
};

// Of its families, ascending, each once.
std::vector<KernelKind> operations_of(const KernelProfile& profile);
// Of the families that answer when no kernel is named. Empty for
// families of any format.
KnownLaws laws_of(const KernelProfile& profile);
// The family that answers: the one with the named kernel, else the preferred one, else the first.
// nullptr if the profile has none.
const FittedFamily* find_family(const KernelProfile& profile, const KernelKey& key,
                                std::string_view kernel_source = {});

inline constexpr std::string_view k_profile_schema = "moesim/kernel_profile/2";
inline constexpr std::string_view k_spec_sheet = "spec_sheet";

// Strict. Throws ConfigError("file.json#/pointer", ...).
KernelProfile parse_kernel_profile(const nlohmann::json& document, const std::string& where);
KernelProfile read_kernel_profile(const std::string& path);
// The same document without its families.
KernelProfile parse_kernel_profile_head(const nlohmann::json& document, const std::string& where);

// Text of the file: parse(write(p)) == p, and the same profile gives the same bytes.
std::string kernel_profile_text(const KernelProfile& profile);

// Six significant digits, so that a profile's text and its coefficients agree.
double rounded(double value);

// Four decimals: thresholds of a correction, in the file and when it is fitted.
double rounded_threshold(double value);

// Standard error of ln(time) for a prediction of `seconds`; 0 when the family has no bands.
double standard_error(const FittedFamily& family, double seconds);

// Shapes up to this factor beyond the fitted range of a dimension still count as inside.
inline constexpr double k_range_tolerance = 1.25;
bool inside_range(const FittedFamily& family, const KernelDims& dims);

// How far outside: sum over dimensions of log2(how many times too large or small); 0 inside.
double octaves_outside(const FittedFamily& family, const KernelDims& dims);

}  // namespace moesim
