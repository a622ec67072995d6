// Traffic matrices on links, without looking up a route per pair. Every element is read once, rows
// contiguously: what a row sends out is a sum, what devices receive is added up column by column,
// one set of columns per sending rail, since routes between nodes depend on the two rails alone.
#include <array>

#include "hardware/topology.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

// Independent partial sums: vectorised, and the same bits everywhere, since the order is fixed.
constexpr std::size_t lanes = 8;
using Lanes = std::array<double, lanes>;

double total(const Lanes& partial) {
  return ((partial[0] + partial[4]) + (partial[2] + partial[6])) +
         ((partial[1] + partial[5]) + (partial[3] + partial[7]));
}

double sum(const double* row, std::size_t count) {
  Lanes partial{};
  std::size_t k = 0;
  for (; k + lanes <= count; k += lanes) {
    for (std::size_t l = 0; l < lanes; ++l) {
      partial[l] += row[k + l];
    }
  }
  double rest = 0.0;
  for (; k < count; ++k) {
    rest += row[k];
  }
  return total(partial) + rest;
}

// Adds the row to the columns and returns its sum.
double add_row(const double* __restrict row, double* __restrict columns, std::size_t count) {
  Lanes partial{};
  std::size_t k = 0;
  for (; k + lanes <= count; k += lanes) {
    for (std::size_t l = 0; l < lanes; ++l) {
      columns[k + l] += row[k + l];
      partial[l] += row[k + l];
    }
  }
  double rest = 0.0;
  for (; k < count; ++k) {
    columns[k] += row[k];
    rest += row[k];
  }
  return total(partial) + rest;
}

std::size_t as_size(int value) { return static_cast<std::size_t>(value); }

}  // namespace

void Topology::add_traffic(std::span<const double> amount, std::span<double> link_amount) const {
  const std::size_t n = as_size(devices_);
  const std::size_t width = as_size(devices_per_node_);
  ensure(amount.size() == n * n, "a traffic matrix has a row and a column per device");
  ensure(link_amount.size() == links_.size(), "an amount per link");
  std::vector<double> received(as_size(rails_) * n);
  for (std::size_t from = 0; from < n; ++from) {
    const double* row = amount.data() + from * n;
    const std::size_t own = from / width * width;
    if (switched_ > 0) {
      const std::size_t place = from - own;
      double* down = link_amount.data() + device_down(static_cast<int>(own));
      link_amount[as_size(device_up(static_cast<int>(from)))] +=
          add_row(row + own, down, place) +
          add_row(row + from + 1, down + place + 1, width - place - 1);
    }
    if (rails_ > 0) {
      const int rail = rail_of(static_cast<int>(from));
      double* columns = received.data() + as_size(rail) * n;
      const std::size_t after = own + width;
      link_amount[as_size(nic_up(node_of(static_cast<int>(from)), rail))] +=
          add_row(row, columns, own) + add_row(row + after, columns + after, n - after);
    }
  }
  if (rails_ > 0) {
    add_fabric_traffic(received, link_amount);
  }
}

// received[rail * devices + to]: what `to` gets from senders on `rail` in other nodes.
void Topology::add_fabric_traffic(std::span<const double> received,
                                  std::span<double> link_amount) const {
  const std::size_t rails = as_size(rails_);
  std::vector<std::size_t> rail_of_place;
  for (int place = 0; place < devices_per_node_; ++place) {
    rail_of_place.push_back(as_size(rail_of(place)));
  }
  std::vector<double> between(rails * rails);  // [sending rail][receiving rail]
  const double* columns = received.data();
  for (std::size_t rail = 0; rail < rails; ++rail) {
    double* to_rail = between.data() + rail * rails;
    for (int node = 0; node < nodes(); ++node) {
      double* nics = link_amount.data() + nic_down(node, 0);
      for (const std::size_t other : rail_of_place) {
        to_rail[other] += *columns;
        nics[other] += *columns++;
      }
    }
  }
  for (int rail = 0; rail < rails_; ++rail) {
    for (int other = 0; other < rails_; ++other) {
      if (other == rail) {
        continue;  // the leaf switch alone
      }
      const double share =
          between[as_size(rail) * rails + as_size(other)] / static_cast<double>(spines_);
      for (int spine = 0; spine < spines_; ++spine) {
        link_amount[as_size(leaf_up(rail, spine))] += share;
        link_amount[as_size(leaf_down(other, spine))] += share;
      }
    }
  }
}

TrafficByScope Topology::traffic_by_scope(std::span<const double> amount) const {
  const std::size_t n = as_size(devices_);
  const std::size_t width = as_size(devices_per_node_);
  ensure(amount.size() == n * n, "a traffic matrix has a row and a column per device");
  TrafficByScope scope;
  for (std::size_t from = 0; from < n; ++from) {
    const double* row = amount.data() + from * n;
    const std::size_t own = from / width * width;
    scope.local += row[from];
    scope.intra_node += sum(row + own, from - own) + sum(row + from + 1, own + width - from - 1);
    scope.inter_node += sum(row, own) + sum(row + own + width, n - own - width);
  }
  return scope;
}

}  // namespace moesim
