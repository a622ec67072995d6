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
if(MOESIM_UNITY)
  # A source's local names need not differ from what other sources of its group call theirs, and g++
  # takes those sources for headers, whose types must not hold types of unnamed namespaces.
  target_compile_options(moesim_options INTERFACE -Wno-shadow
                                                  $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
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
# What libFuzzer counts is which code of libraries an input reaches, not which of tests; only the fuzz
# targets link its main().
add_library(moesim_library_options INTERFACE)
target_link_libraries(moesim_library_options INTERFACE moesim_options)
if(MOESIM_FUZZ)
  target_compile_options(moesim_library_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

# clang reads a precompiled header in no time, which saves a third of a build; with g++ it costs light
# sources as much as it saves heavy ones, and a build without keeps the includes honest. Names the
# header's target, for options that its users have too.
function(moesim_precompile name)
  file(WRITE "${CMAKE_BINARY_DIR}/${name}.cpp" "")
  add_library(${name} OBJECT "${CMAKE_BINARY_DIR}/${name}.cpp")
  target_link_libraries(${name} PRIVATE moesim_library_options)
  target_compile_options(${name} PRIVATE ${ARGN})
  target_precompile_headers(
    ${name}
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
endfunction()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  moesim_precompile(moesim_precompiled)
  if(MOESIM_SANITIZE)
    moesim_precompile(moesim_precompiled_hot -O1)
  endif()
endif()

# moesim_unity(TARGET): with MOESIM_UNITY its sources are compiled in groups, each as one, so that what
# they include is read and instantiated once a group. Sources with options of their own stay alone;
# their folder may set those later, so this runs when it is done.
function(moesim_unity target)
  if(MOESIM_UNITY)
    cmake_language(EVAL CODE "cmake_language(DEFER CALL moesim_unity_now ${target})")
  endif()
endfunction()
function(moesim_unity_now target)
  get_target_property(sources ${target} SOURCES)
  set(alone "")
  foreach(source IN LISTS sources)
    get_source_file_property(options ${source} COMPILE_OPTIONS)
    if(options)
      list(APPEND alone ${source})
    endif()
  endforeach()
  if(alone)
    list(REMOVE_ITEM sources ${alone})
  endif()
  execute_process(
    COMMAND ${Python3_EXECUTABLE} -B ${MOESIM_ROOT}/cmake/unity_groups.py 10 ${MOESIM_ROOT}
            ${CMAKE_CURRENT_BINARY_DIR}/${target} ${sources}
    WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}
    OUTPUT_VARIABLE grouped
    OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  string(REPLACE "\n" ";" grouped "${grouped}")
  set_property(TARGET ${target} PROPERTY SOURCES ${alone} ${grouped})
endfunction()

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
    PRIVATE moesim_library_options ${ARG_PRIVATE_DEPENDS})
  moesim_unity(moesim_${name})
  set(header moesim_precompiled)
  if(ARG_HOT AND MOESIM_SANITIZE)
    target_compile_options(moesim_${name} PRIVATE -O1)
    set(header moesim_precompiled_hot)
  endif()
  if(TARGET ${header})
    target_precompile_headers(moesim_${name} REUSE_FROM ${header})
  endif()
endfunction()

# moesim_executable(NAME SOURCES a.cpp ... DEPENDS target ...)
function(moesim_executable name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${MOESIM_ROOT})
  target_link_libraries(${name} PRIVATE moesim_options ${ARG_DEPENDS})
  moesim_unity(${name})
endfunction()
