// Only carries the precompiled header that all test executables share.
