# Writes a ctest file with one entry per test case of a Catch2 executable. Run after linking with
# EXECUTABLE, PREFIX and OUTPUT set. Unlike Catch2's own script it asks the executable only
# for names and labels every entry: `slow` for the tag [slow], `large` for [large], `fast` for all
# others.

function(list_cases spec result)
  # The exit code is the number of cases.
  execute_process(
    COMMAND "${EXECUTABLE}" --list-test-names-only "${spec}"
    OUTPUT_VARIABLE output
    ERROR_VARIABLE errors
    RESULT_VARIABLE code)
  if(NOT code MATCHES "^[0-9]+$" OR NOT errors STREQUAL "")
    message(FATAL_ERROR "${EXECUTABLE} does not list its tests: ${code}\n${errors}")
  endif()
  set(${result} "${output}" PARENT_SCOPE)
endfunction()

function(append_entries spec speed)
  list_cases("${spec}" names)
  # CMake's lists would split names at ';' and join them inside '[...]'.
  string(REPLACE ";" "@semicolon@" names "${names}")
  string(REPLACE "[" "@open@" names "${names}")
  string(REPLACE "]" "@close@" names "${names}")
  string(REPLACE "\n" ";" names "${names}")
  foreach(name IN LISTS names)
    if(name STREQUAL "")
      continue()
    endif()
    string(REPLACE "@semicolon@" ";" name "${name}")
    string(REPLACE "@open@" "[" name "${name}")
    string(REPLACE "@close@" "]" name "${name}")
    # Characters that Catch2's test specifications give a meaning.
    string(REPLACE "\\" "\\\\" selector "${name}")
    foreach(special "," "[" "]" "\"")
      string(REPLACE "${special}" "\\${special}" selector "${selector}")
    endforeach()
    string(
      APPEND
      script
      "add_test([==[${PREFIX}: ${name}]==] [==[${EXECUTABLE}]==] --warn NoTests [==[${selector}]==])\nset_tests_properties([==[${PREFIX}: ${name}]==] PROPERTIES LABELS [==[${speed};${PREFIX}]==])\n"
    )
  endforeach()
  set(script "${script}" PARENT_SCOPE)
endfunction()

set(script "")
append_entries("~[slow]~[large]~[.]" fast)
append_entries("[large]~[slow]" large)
append_entries("[slow]" slow)
if(script STREQUAL "")
  message(FATAL_ERROR "${EXECUTABLE} holds no test")
endif()
file(WRITE "${OUTPUT}" "${script}")
