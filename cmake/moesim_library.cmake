# One function for every library, so that all are built alike.

# Where include paths start; calibrate/cuda is a project of its own too.
cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH MOESIM_ROOT)

add_library(moesim_options INTERFACE)
target_compile_options(
  moesim_options
  INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow
            # The same bits in every build type and on every machine: no fused multiply-add.
            -ffp-contract=off)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # libstdc++ 12 uses its own deprecated get_temporary_buffer inside std::stable_sort.
  target_compile_options(moesim_options INTERFACE -Wno-deprecated-declarations)
endif()
if(MOESIM_WERROR)
  target_compile_options(moesim_options INTERFACE -Werror)
endif()
if(MOESIM_SANITIZE)
  target_compile_options(moesim_options INTERFACE -fsanitize=address,undefined
                                                  -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_compile_definitions(moesim_options INTERFACE _GLIBCXX_ASSERTIONS)
  target_link_options(moesim_options INTERFACE -fsanitize=address,undefined)
endif()
if(MOESIM_FUZZ)
  # Coverage everywhere; only the fuzz targets link libFuzzer's main().
  target_compile_options(moesim_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

# clang reads a precompiled header in no time, which saves a third of a build; with g++ it costs light
# sources as much as it saves heavy ones, and a build without keeps the includes honest.
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  file(WRITE "${CMAKE_BINARY_DIR}/moesim_precompiled.cpp" "")
  add_library(moesim_precompiled OBJECT "${CMAKE_BINARY_DIR}/moesim_precompiled.cpp")
  target_link_libraries(moesim_precompiled PRIVATE moesim_options)
  target_precompile_headers(
    moesim_precompiled
    PRIVATE
    <algorithm>
    <array>
    <chrono>
    <filesystem>
    <functional>
    <map>
    <memory>
    <nlohmann/json.hpp>
    <numeric>
    <optional>
    <set>
    <span>
    <sstream>
    <string>
    <variant>
    <vector>)
endif()

# moesim_library(NAME [HOT] SOURCES a.cpp ... DEPENDS target ... [PRIVATE_DEPENDS target ...])
# HOT: its loops run for minutes where sanitizers check unoptimised code, so that they check
# lightly optimised code instead.
function(moesim_library name)
  cmake_parse_arguments(ARG "HOT" "" "SOURCES;DEPENDS;PRIVATE_DEPENDS" ${ARGN})
  add_library(moesim_${name} STATIC ${ARG_SOURCES})
  add_library(moesim::${name} ALIAS moesim_${name})
  target_include_directories(moesim_${name} PUBLIC ${MOESIM_ROOT})
  target_link_libraries(
    moesim_${name}
    PUBLIC ${ARG_DEPENDS}
    PRIVATE moesim_options ${ARG_PRIVATE_DEPENDS})
  if(ARG_HOT AND MOESIM_SANITIZE)
    target_compile_options(moesim_${name} PRIVATE -O1)
  elseif(TARGET moesim_precompiled)
    target_precompile_headers(moesim_${name} REUSE_FROM moesim_precompiled)
  endif()
endfunction()

# moesim_executable(NAME SOURCES a.cpp ... DEPENDS target ...)
function(moesim_executable name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${MOESIM_ROOT})
  target_link_libraries(${name} PRIVATE moesim_options ${ARG_DEPENDS})
endfunction()
