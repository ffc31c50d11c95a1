# Writes files into a C source as arrays of bytes:
#   cmake -DOUT=assets.c "-DFILES=NAME=PATH;NAME=PATH" -P embed.cmake
# gives apq_asset_NAME and apq_asset_NAME_bytes; an empty PATH is no bytes.
set(text "/* Made by embed.cmake. */\n#include \"report/assets.h\"\n")
foreach(entry IN LISTS FILES)
  string(REGEX MATCH "^[^=]+" name "${entry}")
  string(REGEX REPLACE "^[^=]*=" "" path "${entry}")
  set(hex "")
  if(path)
    # What would end the element that the text becomes part of.
    file(READ "${path}" content)
    string(TOLOWER "${content}" content)
    if(content MATCHES "</script|</style|<!--")
      message(FATAL_ERROR "${path} cannot be part of a page: it has ${CMAKE_MATCH_0}")
    endif()
    file(READ "${path}" hex HEX)
  endif()
  string(LENGTH "${hex}" digits)
  math(EXPR bytes "${digits} / 2")
  string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
  string(APPEND text "\nconst unsigned char apq_asset_${name}[] = {\n${hex}0};\n"
    "const size_t apq_asset_${name}_bytes = ${bytes};\n")
endforeach()
file(WRITE "${OUT}" "${text}")
