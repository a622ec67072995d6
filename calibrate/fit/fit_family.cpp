#include "calibrate/fit/fit_family.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "calibrate/fit/boosted_trees.h"
#include "calibrate/fit/erratic.h"
#include "calibrate/fit/family_form.h"
#include "calibrate/fit/least_squares.h"
#include "calibrate/fit/row_statistics.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

using Rows = std::vector<const KernelRow*>;

// A fixed random sample, the same for the same rows.
Rows sample(const Rows& rows, std::size_t count) {
  std::vector<std::pair<std::uint64_t, std::size_t>> order;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    order.emplace_back(mix64(i), i);
  }
  std::ranges::sort(order);
  Rows chosen;
  for (std::size_t i = 0; i < std::min(count, order.size()); ++i) {
    chosen.push_back(rows[order[i].second]);
  }
  return chosen;
}

std::vector<double> fit_rows(const Rows& rows, const KernelForm& form, const KernelContext& context,
                             std::string_view kernel_source, const KernelFitOptions& options) {
  const Rows chosen = sample(rows, options.rows_per_family);
  std::vector<double> measured;
  for (const KernelRow* row : chosen) {
    measured.push_back(row->seconds);
  }
  const auto parameters = fit_parameters(form, chosen.front()->shape.key, kernel_source);
  const auto predict = [&](std::span<const double> c, std::span<double> out) {
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      out[i] = form.evaluate(c, chosen[i]->shape, context).alone().si();
    }
  };
  auto coefficients =
      fit_coefficients(parameters, measured, predict, options.iterations).coefficients;
  for (double& value : coefficients) {
    value = rounded(value);
  }
  for (std::size_t i = 0; i < coefficients.size(); ++i) {
    if (!parameters[i].fixed) {  // rounding must not leave the limits
      coefficients[i] = std::clamp(coefficients[i], parameters[i].min, parameters[i].max);
    }
  }
  return coefficients;
}

double time_of(const KernelForm& form, std::span<const double> coefficients, const KernelRow& row,
               const KernelContext& context) {
  return form.evaluate(coefficients, row.shape, context).alone().si();
}

// A form with its coefficients and, where it helps, the correction of what they leave.
struct Fit {
  std::vector<double> coefficients;
  std::shared_ptr<const CorrectionForest> correction;
};

// Fewer rows tell trees nothing that the form does not know.
constexpr std::size_t k_least_corrected_rows = 200;

class FamilyFit {
 public:
  FamilyFit(const Rows& rows, const KernelForm& form, const KernelContext& context,
            const std::string& kernel_source, const KernelFitOptions& options)
      : rows_(rows),
        form_(form),
        context_(context),
        kernel_source_(kernel_source),
        options_(options) {
    whole_.coefficients = fit_rows(rows, form, context, kernel_source, options);
    erratic_ = erratic_of(whole_.coefficients, rows);
    whole_.correction = correct(whole_.coefficients, rows, erratic_);
    leave_out();
    if (whole_.correction != nullptr && !correction_helps()) {
      whole_.correction = nullptr;
    }
  }

  [[nodiscard]] const Fit& whole() const { return whole_; }
  [[nodiscard]] std::int64_t erratic() const { return std::ranges::count(erratic_, true); }
  [[nodiscard]] ErrorSummary in_sample() const {
    std::vector<double> errors;
    for (const KernelRow* row : rows_) {
      errors.push_back(std::abs(predict(whole_, *row) / row->seconds - 1));
    }
    return summarise(std::move(errors));
  }
  [[nodiscard]] ErrorSummary left_out(bool form_only) const {
    std::vector<double> errors;
    for (const LeftOut& row : left_out_) {
      errors.push_back(std::abs(std::exp(-residual(row, form_only)) - 1));
    }
    return summarise(std::move(errors));
  }
  [[nodiscard]] ErrorSummary neighbour() const { return summarise(neighbour_errors_); }
  [[nodiscard]] std::vector<ErrorBand> bands() const {
    return error_bands(spreads([](const LeftOut&) { return true; }));
  }
  // Every fold judged by the bands of the others.
  [[nodiscard]] double inside_p10_p90() const {
    FittedFamily judge;
    double inside = 0;
    for (int fold = 0; fold < options_.folds; ++fold) {
      judge.error_bands =
          error_bands(spreads([fold](const LeftOut& row) { return row.fold != fold; }));
      for (const LeftOut& row : left_out_) {
        const double r = residual(row, false);
        if (row.fold == fold &&
            std::abs(r) <= k_p90_of_normal * standard_error(judge, row.seconds / std::exp(r))) {
          inside += 1;
        }
      }
    }
    return left_out_.empty() ? 0.0 : rounded(inside / static_cast<double>(left_out_.size()));
  }

 private:
  struct LeftOut {
    int fold = 0;
    double seconds = 0;    // measured
    double form = 0;       // ln(measured/predicted) of the form alone
    double corrected = 0;  // and with its correction
  };

  [[nodiscard]] double residual(const LeftOut& row, bool form_only) const {
    return form_only || whole_.correction == nullptr ? row.form : row.corrected;
  }

  template <class Chosen>
  [[nodiscard]] std::vector<Spread> spreads(Chosen chosen) const {
    std::vector<Spread> list;
    for (const LeftOut& row : left_out_) {
      if (chosen(row)) {
        const double r = residual(row, false);
        list.push_back({row.seconds / std::exp(r), std::abs(r)});
      }
    }
    return list;
  }

  [[nodiscard]] double predict(const Fit& fit, const KernelRow& row) const {
    const KernelEstimate estimate = form_.evaluate(fit.coefficients, row.shape, context_);
    const double form = estimate.alone().si();
    return fit.correction == nullptr ? form
                                     : form * std::exp(fit.correction->log_factor(
                                                  features_of(row.shape, estimate, context_)));
  }

  // By the form alone, from these rows alone.
  [[nodiscard]] std::vector<bool> erratic_of(std::span<const double> coefficients,
                                             const Rows& rows) const {
    std::vector<double> predicted;
    for (const KernelRow* row : rows) {
      predicted.push_back(time_of(form_, coefficients, *row, context_));
    }
    return erratic_rows(rows, predicted);
  }

  // Trees over the rows that are not erratic; null where there are too few.
  [[nodiscard]] std::shared_ptr<const CorrectionForest> correct(
      std::span<const double> coefficients, const Rows& rows,
      const std::vector<bool>& erratic) const {
    std::vector<FeatureVector> x;
    std::vector<double> target;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (erratic[i]) {
        continue;
      }
      const KernelEstimate estimate = form_.evaluate(coefficients, rows[i]->shape, context_);
      x.push_back(features_of(rows[i]->shape, estimate, context_));
      target.push_back(std::clamp(std::log(rows[i]->seconds / estimate.alone().si()),
                                  -k_largest_correction, k_largest_correction));
    }
    if (!options_.correct || x.size() < k_least_corrected_rows) {
      return nullptr;
    }
    const KernelKind kind = rows_.front()->shape.key.kind;
    ForestDefinition forest = boost_trees(x, target, feature_names(kind).size());
    const auto interpolated = interpolated_feature(kind);
    if (interpolated) {
      std::set<float> values;
      for (const FeatureVector& row : x) {
        values.insert(static_cast<float>(rounded_threshold(row[*interpolated])));
      }
      forest.interpolated.assign(values.begin(), values.end());
    }
    return std::make_shared<const CorrectionForest>(std::move(forest), interpolated);
  }

  // Refits without every fold of shape groups in turn and predicts it.
  void leave_out() {
    const bool one_shape = std::ranges::all_of(rows_, [this](const KernelRow* row) {
      return row->shape_group == rows_.front()->shape_group;
    });
    // With one shape only, its sizes are left out.
    const auto group_of = [one_shape](const KernelRow& row) {
      return one_shape ? static_cast<std::uint64_t>(row.shape.dims[0]) : row.shape_group;
    };
    const auto fold_of = [this](const std::set<std::uint64_t>& groups, std::uint64_t group) {
      const auto place = std::distance(groups.begin(), groups.find(group));
      return static_cast<int>(place % options_.folds);
    };
    std::set<std::uint64_t> groups;
    std::set<std::uint64_t> others;
    for (const KernelRow* row : rows_) {
      groups.insert(group_of(*row));
      others.insert(row->other_group);
    }
    const bool two_ways = others.size() > 1;
    for (int fold = 0; fold < options_.folds; ++fold) {
      Rows kept;
      Rows out;
      for (const KernelRow* row : rows_) {
        const bool leave = fold_of(groups, group_of(*row)) == fold ||
                           (two_ways && fold_of(others, row->other_group) == fold);
        (leave ? out : kept).push_back(row);
      }
      if (kept.empty() || out.empty()) {
        continue;
      }
      Fit fit;
      fit.coefficients = fit_rows(kept, form_, context_, kernel_source_, options_);
      const Fit form_only = fit;
      fit.correction = correct(fit.coefficients, kept, erratic_of(fit.coefficients, kept));
      look_up(kept, out);
      for (const KernelRow* row : out) {
        left_out_.push_back({fold, row->seconds, std::log(row->seconds / predict(form_only, *row)),
                             std::log(row->seconds / predict(fit, *row))});
      }
    }
  }

  // What a table of the kept rows would say: the time of the nearest shape, scaled by the ratio of
  // the two rooflines. A sample of the rows left out is enough for an error to compare with.
  void look_up(const Rows& kept, const Rows& out) {
    constexpr std::size_t most = 400;
    const std::size_t dims = dim_names(rows_.front()->shape.key.kind).ranged;
    const auto log_dims = [dims](const KernelRow& row) {
      KernelDims result{};
      for (std::size_t d = 0; d < dims; ++d) {
        result[d] = std::log2(std::max(row.shape.dims[d], 1.0));
      }
      return result;
    };
    std::vector<KernelDims> table;
    for (const KernelRow* row : kept) {
      table.push_back(log_dims(*row));
    }
    for (const KernelRow* row : sample(out, most)) {
      const KernelDims wanted = log_dims(*row);
      std::size_t nearest = 0;
      double least = std::numeric_limits<double>::infinity();
      for (std::size_t i = 0; i < table.size(); ++i) {
        double distance = 0;
        for (std::size_t d = 0; d < dims; ++d) {
          distance += (table[i][d] - wanted[d]) * (table[i][d] - wanted[d]);
        }
        if (distance < least) {
          least = distance;
          nearest = i;
        }
      }
      const double predicted =
          kept[nearest]->seconds * row->naive_seconds / kept[nearest]->naive_seconds;
      neighbour_errors_.push_back(std::abs(predicted / row->seconds - 1));
    }
  }

  // Erratic rows must not decide.
  [[nodiscard]] bool correction_helps() const {
    constexpr double most = 0.3;
    double form = 0;
    double corrected = 0;
    for (const LeftOut& row : left_out_) {
      form += std::min(std::abs(row.form), most);
      corrected += std::min(std::abs(row.corrected), most);
    }
    return corrected < form;
  }

  const Rows& rows_;
  const KernelForm& form_;
  const KernelContext& context_;
  const std::string& kernel_source_;
  const KernelFitOptions& options_;
  std::vector<bool> erratic_;
  Fit whole_;
  std::vector<LeftOut> left_out_;
  std::vector<double> neighbour_errors_;
};

// One size of one shape leaves nothing to judge the fit by: as wide as the spec sheet's bars.
void assume_errors(FittedFamily& family) {
  constexpr double sigma = 0.5;
  constexpr double median_of_normal = 0.6745;
  family.left_out = {rounded(sigma * median_of_normal), rounded(sigma * k_p90_of_normal)};
  family.left_out_form = family.left_out;
  family.error_bands = {{1.0, sigma}};
}

}  // namespace

FittedFamily fit_family(const Rows& rows, const KernelForm& form, const KernelContext& context,
                        const std::string& kernel_source, const KernelFitOptions& options) {
  ensure(!rows.empty(), "a family has rows");
  FittedFamily family;
  const KernelKey key = rows.front()->shape.key;
  family.kind = key.kind;
  family.dtype = key.dtype;
  family.storage = key.storage;
  family.algorithm = key.algorithm;
  family.products_alone = rows.front()->products_alone;
  family.kernel_source = kernel_source;
  family.form = &form;
  const FamilyFit fit(rows, form, context, kernel_source, options);
  family.coefficients = fit.whole().coefficients;
  family.correction = fit.whole().correction;
  family.range = ranges_of(rows);
  family.grid = grid_of(rows);
  family.rows_used = static_cast<std::int64_t>(rows.size());
  family.rows_erratic = fit.erratic();
  family.in_sample = fit.in_sample();
  family.left_out = fit.left_out(false);
  family.left_out_form = fit.left_out(true);
  family.neighbour = fit.neighbour();
  family.error_bands = fit.bands();
  family.inside_p10_p90 = fit.inside_p10_p90();
  family.host_floor = host_floor(rows);
  if (family.error_bands.empty()) {
    assume_errors(family);
  }
  std::vector<double> naive;
  for (const KernelRow* row : rows) {
    naive.push_back(std::abs(row->naive_seconds / row->seconds - 1));
  }
  family.naive = summarise(std::move(naive));
  return family;
}

}  // namespace moesim
