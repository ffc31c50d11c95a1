# apq_embed(OUT.c NAME FILE [NAME FILE ...])
# Writes a C source with the text of each FILE as `const char NAME[]`; NONE for
# FILE is no text.
function(apq_embed out)
  set(code "/* Made by cmake/ApqEmbed.cmake. */\n")
  while(ARGN)
    list(POP_FRONT ARGN name file)
    set(hex "")
    if(NOT file STREQUAL NONE)
      set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
      file(READ ${file} hex HEX)
    endif()
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
    string(APPEND code
      "extern const char ${name}[];\nconst char ${name}[] = {${bytes}0};\n")
  endwhile()
  file(CONFIGURE OUTPUT ${out} CONTENT "${code}" @ONLY)
endfunction()
