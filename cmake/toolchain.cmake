# Language level, warnings, sanitizers, and the faster compiler cache and linker where there are any.

set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

find_program(LLAMAD_CCACHE ccache)
if(LLAMAD_CCACHE)
    foreach(language C CXX CUDA)
        if(NOT DEFINED CMAKE_${language}_COMPILER_LAUNCHER)
            set(CMAKE_${language}_COMPILER_LAUNCHER "${LLAMAD_CCACHE}")
        endif()
    endforeach()
endif()

include(CheckLinkerFlag)
foreach(linker mold lld)
    # Links a small program, so a linker that this compiler cannot drive is passed over.
    check_linker_flag(CXX "-fuse-ld=${linker}" LLAMAD_LINKS_WITH_${linker})
    if(LLAMAD_LINKS_WITH_${linker})
        add_link_options("-fuse-ld=${linker}")
        break()
    endif()
endforeach()

# -g1: functions and lines, which is what reports name; variables and types take a fifth of the compilation.
if(LLAMAD_SANITIZE STREQUAL "thread")
    add_compile_options(-fsanitize=thread -fno-omit-frame-pointer -g1)
    add_link_options(-fsanitize=thread)
elseif(LLAMAD_SANITIZE STREQUAL "address")
    add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g1)
    add_link_options(-fsanitize=address,undefined)
endif()

# For our own targets only: third-party code keeps its own language level, and is not ours to warn about.
function(llamad_compile_options target)
    target_compile_features(${target} PUBLIC cxx_std_20)
    set_target_properties(${target} PROPERTIES
        CXX_EXTENSIONS OFF CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
    target_compile_options(${target} PRIVATE
        -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wcast-qual -Werror)
    if(LLAMAD_NATIVE)
        target_compile_options(${target} PRIVATE -march=native)
    endif()
endfunction()
