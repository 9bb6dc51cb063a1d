# Resolves LLAMAD_CUDA. `cmake -DLLAMAD_CUDA=AUTO -P cmake/cuda.cmake` prints the answer without building.

# Any of these exists exactly where an NVIDIA driver is loaded: the kernel module's own page, the device node
# (inside containers that hide /proc/driver), the driver library that Windows lends to WSL. libcuda.so proves
# nothing, for the toolkit ships a stub of that name.
if(NOT DEFINED LLAMAD_NVIDIA_DRIVER_FILES)
    set(LLAMAD_NVIDIA_DRIVER_FILES /proc/driver/nvidia/version /dev/nvidiactl /usr/lib/wsl/lib/libcuda.so.1)
endif()
# Where to look for nvcc besides PATH and what the environment says.
if(NOT DEFINED LLAMAD_CUDA_HINTS)
    set(LLAMAD_CUDA_HINTS /usr/local/cuda)
endif()

# Sets OUT to ON or OFF, REASON to a sentence that says why, LLAMAD_NVCC to the compiler and LLAMAD_NVIDIA_DRIVER
# to a file of the driver's, if any.
function(llamad_resolve_cuda out reason)
    if(EXISTS "$ENV{CUDACXX}")
        set(nvcc "$ENV{CUDACXX}")
    else()
        find_program(nvcc nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH ${LLAMAD_CUDA_HINTS} PATH_SUFFIXES bin NO_CACHE)
    endif()
    set(driver "")
    foreach(file IN LISTS LLAMAD_NVIDIA_DRIVER_FILES)
        if(EXISTS "${file}")
            set(driver "${file}")
            break()
        endif()
    endforeach()

    set(answer OFF)
    if(LLAMAD_CUDA STREQUAL "OFF")
        set(why "LLAMAD_CUDA=OFF")
    elseif(LLAMAD_CUDA STREQUAL "ON" AND NOT nvcc)
        message(FATAL_ERROR "LLAMAD_CUDA=ON, but nvcc is not found: install the CUDA toolkit and put nvcc on "
            "PATH or set CUDACXX, or leave LLAMAD_CUDA at AUTO.")
    elseif(LLAMAD_CUDA STREQUAL "ON")
        set(answer ON)
        set(why "LLAMAD_CUDA=ON")
    elseif(NOT nvcc)
        set(why "no nvcc")
    elseif(NOT driver)
        set(why "nvcc is here but no NVIDIA driver; LLAMAD_CUDA=ON builds it all the same")
    else()
        set(answer ON)
        set(why "nvcc and ${driver}")
    endif()
    set(LLAMAD_NVCC "${nvcc}" PARENT_SCOPE)
    set(LLAMAD_NVIDIA_DRIVER "${driver}" PARENT_SCOPE)
    set(${out} ${answer} PARENT_SCOPE)
    set(${reason} "${why}" PARENT_SCOPE)
endfunction()

# Sets OUT to the architectures to compile for, as CMAKE_CUDA_ARCHITECTURES has them: what LLAMAD_CUDA_ARCHITECTURES
# or, as CMake has it, the environment variable CUDAARCHS says; else those of the GPUs in this machine. A build for
# other machines (LLAMAD_NATIVE=OFF), or on one without a GPU, is for all since Turing: GPUs of the kinds that are
# listed as `real` start at once, all others compile the next older one's kernels when they first meet them.
function(llamad_cuda_architectures out toolkit_version)
    if(LLAMAD_CUDA_ARCHITECTURES)
        set(architectures ${LLAMAD_CUDA_ARCHITECTURES})
    elseif(NOT "$ENV{CUDAARCHS}" STREQUAL "")
        set(architectures $ENV{CUDAARCHS})
    elseif(LLAMAD_NATIVE AND LLAMAD_NVIDIA_DRIVER)
        set(architectures native)
    else()
        set(architectures 75-virtual 80-virtual 86-real 89-real 90)
        if(toolkit_version VERSION_GREATER_EQUAL 12.8)
            list(APPEND architectures 120a-real)
        endif()
    endif()
    set(${out} "${architectures}" PARENT_SCOPE)
endfunction()

if(CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
    llamad_resolve_cuda(answer why)
    message(STATUS "CUDA ${answer}: ${why}")
    if(answer)
        if(NOT LLAMAD_CUDA_VERSION)
            execute_process(COMMAND "${LLAMAD_NVCC}" --version OUTPUT_VARIABLE said ERROR_QUIET RESULT_VARIABLE ignored)
            string(REGEX MATCH "release ([0-9.]+)" found "${said}")
            set(LLAMAD_CUDA_VERSION "${CMAKE_MATCH_1}")
        endif()
        llamad_cuda_architectures(architectures "${LLAMAD_CUDA_VERSION}")
        message(STATUS "for ${architectures}")
    endif()
endif()
