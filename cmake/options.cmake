# Every option of the build. Set one with `pip install . -C cmake.define.NAME=VALUE`, with an environment
# variable of the same name around pip or make, or with -DNAME=VALUE around cmake itself.

# Declares the cache entry NAME. Empty means unset: that is how pyproject.toml passes on an environment
# variable that is not there. Values after DOC, if any, are the only ones allowed.
function(llamad_option name default doc)
    if("${${name}}" STREQUAL "")
        set(${name} "${default}" CACHE STRING "${doc}" FORCE)
    endif()
    if(ARGN AND NOT "${${name}}" IN_LIST ARGN)
        list(JOIN ARGN ", " allowed)
        message(FATAL_ERROR "${name}=${${name}}: must be one of ${allowed}.")
    endif()
endfunction()

# AUTO builds the CUDA backend only where both nvcc and an NVIDIA driver are found (cmake/cuda.cmake): many
# machines have a toolkit and no GPU, and compiling the kernels for nothing takes the better part of an hour
# on two cores. ON demands it and fails without nvcc.
llamad_option(LLAMAD_CUDA AUTO "Build llama.cpp's CUDA backend" AUTO ON OFF)

# ON compiles for this machine's processor. OFF makes a build that runs on other machines too (on x86-64,
# those with AVX2), as a wheel to give away must.
llamad_option(LLAMAD_NATIVE ON "Compile for this machine's processor" ON OFF)

# thread, or address (which adds undefined behaviour). Instruments everything, llama.cpp included; with
# LLAMAD_CORE_ONLY=ON that is quick.
llamad_option(LLAMAD_SANITIZE none "Sanitizer to build with" none thread address)

# A llama.cpp checkout of your own instead of the pinned one: to try a newer llama.cpp, or to build offline.
llamad_option(LLAMAD_LLAMA_CPP_DIR "" "Directory of a llama.cpp source tree")

# Builds llamad_core and its tests alone, without llama.cpp and Python: what sanitizer runs use.
llamad_option(LLAMAD_CORE_ONLY OFF "Build only the core and its tests" ON OFF)
