#include "calibrate/tables/row_reader.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "sim/core/error.h"
#include "sim/core/rng.h"

namespace moesim::detail {
namespace {

// nvfp4 and mxfp4: 4-bit values whose block scales we leave out.
constexpr std::array formats{Format{"bfloat16", DType::bf16, DType::bf16, "bf16"},
                             Format{"bf16", DType::bf16, DType::bf16, "bf16"},
                             Format{"float16", DType::fp16, DType::fp16, "fp16"},
                             Format{"fp8", DType::fp8, DType::fp8, "fp8"},
                             Format{"fp8_block", DType::fp8_block, DType::fp8_block, "fp8_block"},
                             Format{"int8", DType::int8, DType::int8, "int8"},
                             Format{"int4_wo", DType::bf16, DType::int4, "int4_wo"},
                             Format{"w4a16_mxfp4", DType::bf16, DType::fp4, "w4a16_mxfp4"},
                             Format{"nvfp4", DType::fp4, DType::fp4, "nvfp4"}};

std::uint16_t index_of(std::vector<std::string>& names, std::string_view name) {
  auto found = std::ranges::find(names, name);
  if (found == names.end()) {
    names.emplace_back(name);
    found = names.end() - 1;
  }
  return static_cast<std::uint16_t>(found - names.begin());
}

}  // namespace

const Format* find_format(std::string_view name) {
  const auto* const found = std::ranges::find(formats, name, &Format::data_name);
  return found == formats.end() ? nullptr : &*found;
}

std::uint64_t hash_of(std::initializer_list<std::int64_t> values) {
  std::uint64_t hash = 0;
  for (const std::int64_t value : values) {
    hash = mix64(hash ^ static_cast<std::uint64_t>(value));
  }
  return hash;
}

std::optional<double> exponent_of(std::string_view distribution) {
  if (distribution == "balanced" || distribution == "uniform") {
    return 0.0;
  }
  constexpr std::string_view prefix = "power_law_";
  double value = 0;
  if (!distribution.starts_with(prefix)) {
    return std::nullopt;
  }
  const char* end = distribution.data() + distribution.size();
  const auto result = std::from_chars(distribution.data() + prefix.size(), end, value);
  const bool usable = result.ec == std::errc() && result.ptr == end && value > 0;
  return usable ? std::optional(value) : std::nullopt;
}

void RowReader::add(std::size_t row_of_table, const Measurement& measured) {
  KernelRow row;
  row.line = table_.line(row_of_table);
  row.shape = measured.shape;
  row.seconds = measured.seconds;
  const KernelContext context = kernel_context(device_, measured.shape.key);
  const UsefulWork work = useful_work(measured.ideal.value_or(measured.shape));
  row.naive_seconds = std::max(work.flops / context.peak, work.bytes / context.bandwidth);
  times_.add(row_of_table, row.seconds, row.naive_seconds);
  row.source = index_of(out_.sources, measured.source);
  row.group = index_of(out_.groups, measured.group);
  row.shape_group = measured.shape_group;
  row.other_group = measured.other_group;
  row.checkable = measured.checkable;
  row.products_alone = measured.products_alone;
  out_.rows.push_back(row);
}

std::string RowReader::group(std::string_view operation, std::string_view rest) const {
  std::string name(operation);
  name.append("/").append(file().framework).append("/").append(file().system);
  return name.append("/").append(rest);
}

const Format* RowReader::format(std::size_t row, std::size_t column) {
  const Format* found = find_format(table_.text(row, column));
  if (found == nullptr) {
    skip("format not modelled: " + std::string(table_.text(row, column)));
    return nullptr;
  }
  return computes(found->dtype, found->our_name) ? found : nullptr;
}

bool RowReader::computes(DType dtype, std::string_view name) {
  if (supports(device_, dtype)) {
    return true;
  }
  skip("the device has no rate for " + std::string(name));
  return false;
}

std::size_t RowReader::time_column(std::string_view stem, std::string_view unit) const {
  const std::string name = std::string(stem) + "_" + std::string(unit);
  if (!table_.has(name)) {
    for (const std::string_view other : {"s", "ms", "us", "ns"}) {
      const std::string found = std::string(stem) + "_" + std::string(other);
      if (table_.has(found)) {
        throw ConfigError(
            table_.path() + ":" + found,
            "this layout gives times in " + std::string(unit) + ", as column \"" + name + "\"");
      }
    }
  }
  return table_.column(name);
}

}  // namespace moesim::detail
