// What rows of one family of communication say without a law: which are erratic, what the ranks'
// notification takes, and the measured times of a collective.
#pragma once

#include <vector>

#include "calibrate/tables/comm_rows.h"

namespace moesim {

// One family's rows; pointers, so that held-out subsets are cheap.
using RowPointers = std::vector<const CommRow*>;

// A number of nodes at which the NICs never reach this share of what they do at another is erratic:
// a fabric that one number of hosts loads as far as it should carries another's traffic too. So is
// a row that reaches less than this share of what fewer bytes did with as many nodes and SMs.
inline constexpr double k_erratic_share = 0.6;
// Of such a number of nodes, rows within this factor of its shortest time wait for no bytes.
inline constexpr double k_latency_bound = 2.0;

// All rows but the erratic ones that wait for bytes; all, where none uses NICs.
RowPointers without_erratic(const RowPointers& rows);

// Rows that time both directions become one of each, in the proportion of what they take at nominal
// rates.
void split_sums(std::vector<CommRow>& rows, const std::vector<CommProfile>& systems);

// Adds NCCL's collectives, sized like the nccl-tests, as the exchanges that they are too: its
// all-to-all moves permuted tokens as expert copies, its all-gather all tokens, its reduce-scatter
// all results.
void add_exchanges(std::vector<CommRow>& rows);

// Of rows that tell its time; `rows` is 0 in the result where none does.
NotifyLaw fit_notify(const RowPointers& rows);

// The law of another device of the architecture, or its default; nullptr: none of them has one.
const AllToAllLaw* relative_law(const std::vector<CommProfile>& fitted, const CommProfile& system,
                                const AllToAllRow& sample);

// One curve per rank count: medians of rows with equal bytes, made to ascend by pooling neighbours
// that do not.
std::vector<MeasuredCurve> measured_curves(const RowPointers& rows, const CommProfile& system);

}  // namespace moesim
