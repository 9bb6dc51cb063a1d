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

# Which GPUs the kernels are compiled for, as CMAKE_CUDA_ARCHITECTURES has it: 90, "86;89", all-major. Each costs
# about as long as the first. Empty: the GPUs in this machine, else all that are usual (cmake/cuda.cmake).
llamad_option(LLAMAD_CUDA_ARCHITECTURES "" "GPU architectures to compile for")

# The interpreter whose package nvidia-cublas is linked where the toolkit has no cuBLAS. Empty: the one that builds,
# which for pip without --no-build-isolation is one that has nothing installed.
llamad_option(LLAMAD_CUBLAS_PYTHON "" "Python that has nvidia-cublas")

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

# Adds the targets llama-server and llama-batched-bench, which llamad is measured beside, to the build directory of
# the module: a CUDA build is then compiled once, not twice. benchmarks/gpu.sh builds so.
llamad_option(LLAMAD_PEERS OFF "Add the peers of the benchmarks" ON OFF)
