# One static library per module; the link graph repeats layers.txt.

set(APQ_WARNINGS
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion
  -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wcast-qual -Wwrite-strings
  -Wundef -Wformat=2 -Wdouble-promotion -Wimplicit-fallthrough)
if(CMAKE_C_COMPILER_ID MATCHES "Clang")
  # Loops marked simd that clang leaves scalar are slower, not wrong.
  list(APPEND APQ_WARNINGS -Wno-pass-failed)
endif()

function(apq_target_defaults target)
  target_include_directories(${target} PRIVATE
    ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
  target_compile_definitions(${target} PRIVATE _POSIX_C_SOURCE=200809L)
  target_compile_options(${target} PRIVATE ${APQ_WARNINGS} -fvisibility=hidden)
  if(APQ_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(APQ_FUZZ)
    target_compile_options(${target} PRIVATE
      -fsanitize=fuzzer-no-link,float-cast-overflow)
  endif()
  if(APQ_SANITIZE)
    target_compile_options(${target} PRIVATE
      -fsanitize=address,undefined -fno-sanitize-recover=undefined
      -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC -fsanitize=address,undefined)
  endif()
endfunction()

# apq_module(NAME SOURCES a.c ... DEPS base ir ... LIBS PkgConfig::X ...)
function(apq_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LIBS" ${ARGN})
  add_library(apq_${name} STATIC ${ARG_SOURCES})
  apq_target_defaults(apq_${name})
  foreach(dep ${ARG_DEPS})
    target_link_libraries(apq_${name} PUBLIC apq_${dep})
  endforeach()
  target_link_libraries(apq_${name} PRIVATE ${ARG_LIBS})
endfunction()

# apq_test(NAME SOURCES f.c DEPS module ... LABELS unit)
# One cmocka program, run by CTest from the source root.
function(apq_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;LIBS;LABELS" ${ARGN})
  add_executable(test_${name} ${ARG_SOURCES})
  apq_target_defaults(test_${name})
  target_include_directories(test_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  foreach(dep ${ARG_DEPS})
    target_link_libraries(test_${name} PRIVATE apq_${dep})
  endforeach()
  target_link_libraries(test_${name} PRIVATE PkgConfig::CMOCKA ${ARG_LIBS} m)
  set_target_properties(test_${name} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND test_${name}
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 600) # sanitizers on a busy machine
  endif()
  set_tests_properties(${name} PROPERTIES
    LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT}
    # Threads that spin while they wait starve the tests beside them.
    ENVIRONMENT OMP_WAIT_POLICY=passive)
endfunction()
