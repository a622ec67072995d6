"""Pictures and sentences from the reports of `moesim simulate --json`."""
