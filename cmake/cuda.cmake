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

# Sets OUT to ON or OFF, REASON to a sentence that says why, and LLAMAD_NVCC to the compiler, if any.
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
    set(${out} ${answer} PARENT_SCOPE)
    set(${reason} "${why}" PARENT_SCOPE)
endfunction()

if(CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
    llamad_resolve_cuda(answer why)
    message(STATUS "CUDA ${answer}: ${why}")
endif()
