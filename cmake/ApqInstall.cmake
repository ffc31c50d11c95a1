# libapq, made of the modules' objects, and what `cmake --install` puts where.

include(CMakePackageConfigHelpers)

# CMake name and pkg-config name of every library that a module may link.
set(APQ_PACKAGES
  JANSSON=jansson YAML=yaml-0.1 XXHASH=libxxhash SQLITE=sqlite3
  TURBOJPEG=libturbojpeg SPNG=spng LIBARCHIVE=libarchive ZLIB=zlib
  CAIRO=cairo,cairo-svg,cairo-pdf)

# The command line prints and exits; the library holds everything below it.
set(modules base comm ir tensor store space cost backend search quant nn data
  supernet predictor deploy measure train report app api)
set(objects "")
set(libraries "")
foreach(module ${modules})
  if(TARGET apq_${module})
    list(APPEND objects $<TARGET_OBJECTS:apq_${module}>)
    get_target_property(linked apq_${module} LINK_LIBRARIES)
    list(FILTER linked EXCLUDE REGEX "^apq_")
    list(APPEND libraries ${linked})
  endif()
endforeach()
list(REMOVE_DUPLICATES libraries)

# What a user of libapq links: as CMake commands and as pkg-config fields.
set(APQ_FIND_PACKAGES "")
set(APQ_PC_REQUIRES "")
set(APQ_PC_LIBS "")
foreach(library ${libraries})
  if(library MATCHES "^PkgConfig::(.+)$")
    set(prefix ${CMAKE_MATCH_1})
    set(packages ${APQ_PACKAGES})
    list(FILTER packages INCLUDE REGEX "^${prefix}=")
    if(NOT packages)
      message(FATAL_ERROR "cmake/ApqInstall.cmake: add ${prefix} to APQ_PACKAGES")
    endif()
    string(REGEX REPLACE "^[^=]*=" "" names "${packages}")
    string(REPLACE "," " " names "${names}")
    # The modules found it in their own folders; name it in this one too.
    separate_arguments(name_list UNIX_COMMAND "${names}")
    pkg_check_modules(${prefix} REQUIRED QUIET IMPORTED_TARGET ${name_list})
    string(APPEND APQ_FIND_PACKAGES
      "pkg_check_modules(${prefix} REQUIRED QUIET IMPORTED_TARGET ${names})\n")
    string(APPEND APQ_PC_REQUIRES " ${names}")
  elseif(library STREQUAL "OpenMP::OpenMP_C")
    string(APPEND APQ_PC_LIBS " ${OpenMP_C_FLAGS}")
  elseif(library STREQUAL "Threads::Threads")
    string(APPEND APQ_PC_LIBS " ${CMAKE_THREAD_LIBS_INIT}")
  elseif(IS_ABSOLUTE "${library}")
    get_filename_component(stem "${library}" NAME_WE)
    string(REGEX REPLACE "^lib" "" stem "${stem}")
    string(APPEND APQ_PC_LIBS " -l${stem}")
  else()
    string(APPEND APQ_PC_LIBS " -l${library}")
  endif()
endforeach()
# A static libapq leaves its libraries to the program's link; a shared one
# brings them along.
if(BUILD_SHARED_LIBS)
  set(APQ_PC_PRIVATE ".private")
  set(APQ_PC_LIBS_STATIC "")
else()
  set(APQ_PC_PRIVATE "")
  set(APQ_PC_LIBS_STATIC "${APQ_PC_LIBS}")
endif()

add_library(apq_lib ${objects})
apq_target_defaults(apq_lib)
set_target_properties(apq_lib PROPERTIES
  OUTPUT_NAME apq EXPORT_NAME apq LINKER_LANGUAGE C
  VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
target_link_libraries(apq_lib PRIVATE ${libraries})
target_include_directories(apq_lib INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

install(TARGETS apq_lib EXPORT apq-targets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/apq DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h")
foreach(folder configs recipes models)
  install(DIRECTORY ${folder} OPTIONAL
    DESTINATION ${CMAKE_INSTALL_DATADIR}/apq
    PATTERN training EXCLUDE)
endforeach()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/apq)
install(EXPORT apq-targets NAMESPACE apq:: DESTINATION ${package_dir})
set(APQ_DATADIR ${CMAKE_INSTALL_DATADIR}/apq)
configure_package_config_file(cmake/apq-config.cmake.in
  ${CMAKE_BINARY_DIR}/apq-config.cmake INSTALL_DESTINATION ${package_dir}
  PATH_VARS APQ_DATADIR)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/apq-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/apq-config.cmake
  ${CMAKE_BINARY_DIR}/apq-config-version.cmake DESTINATION ${package_dir})

# Relative to the file, so that an installed tree can be moved.
file(RELATIVE_PATH APQ_PC_PREFIX
  ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(cmake/apq.pc.in ${CMAKE_BINARY_DIR}/apq.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/apq.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
