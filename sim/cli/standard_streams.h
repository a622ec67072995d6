// The standard streams: open before the work, and stdout checked after it.
#pragma once

namespace moesim {

// A standard stream that was closed would give its number to the first file that is opened, and
// what is printed would go there. Printing to a closed stdout fails instead.
void reserve_standard_streams();

// `status`, or that of a failed run if not all of stdout could be written (a full disk, a reader
// that has gone), which stderr then says.
int with_stdout_checked(int status);

}  // namespace moesim
