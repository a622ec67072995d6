// What the layers of a small Mixture-of-Experts model have to do on this host, as the engine's
// Work, and the one way in which it becomes tasks: the threads' steps and the simulator's are the
// same.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "calibrate/cpu/host_schedules.h"
#include "sim/flow/task_graph.h"

namespace moesim {

enum class MoeStepKind : std::uint8_t { gate, dispatch, experts, combine };
inline constexpr std::size_t k_step_kinds = 4;
std::string_view step_name(MoeStepKind kind);
MoeStepKind step_kind(const WorkNode& node);

// Per layer and micro-batch: router, send, experts (after all ranks' sends), receive (after all
// ranks' experts). With `cuts_rows`, sends and experts are two nodes each (RowPart).
Work moe_work(int layers, int micro_batches, bool cuts_rows);

// Thread t of rank r is stream t * ranks + r. Every node is a task on every rank; `program_of` is
// called once for each task, in the order of the tasks.
using ProgramOf = std::function<ProgramId(std::int32_t node, int rank)>;
void build_moe_graph(const Work& work, const Schedule& schedule, int ranks,
                     const ProgramOf& program_of, TaskGraph& graph);

}  // namespace moesim
