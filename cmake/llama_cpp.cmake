# Brings in llama.cpp as static libraries `llama` and `llama-common`. Sets
#   LLAMAD_LLAMA_CPP_SOURCE                            its source tree
#   LLAMAD_LLAMA_CPP_COMMIT, LLAMAD_LLAMA_CPP_VERSION  what `llamad --version` prints
#   LLAMAD_WITH_CUDA                                   whether its CUDA backend is in

include(cuda)
llamad_resolve_cuda(LLAMAD_WITH_CUDA cuda_reason)
message(STATUS "llamad: CUDA ${LLAMAD_WITH_CUDA} (${cuda_reason})")
if(LLAMAD_WITH_CUDA)
    if(NOT CMAKE_CUDA_COMPILER)
        set(CMAKE_CUDA_COMPILER "${LLAMAD_NVCC}") # it need not be on PATH
    endif()
    include(cuda_libraries)
endif()

if(LLAMAD_LLAMA_CPP_DIR)
    file(REAL_PATH "${LLAMAD_LLAMA_CPP_DIR}" LLAMAD_LLAMA_CPP_SOURCE EXPAND_TILDE)
    if(NOT EXISTS "${LLAMAD_LLAMA_CPP_SOURCE}/include/llama.h")
        message(FATAL_ERROR "LLAMAD_LLAMA_CPP_DIR=${LLAMAD_LLAMA_CPP_DIR}: no llama.cpp source tree there.")
    endif()
    set(LLAMAD_LLAMA_CPP_VERSION "local")
    execute_process(COMMAND git -C "${LLAMAD_LLAMA_CPP_SOURCE}" rev-parse --short=9 HEAD
        OUTPUT_VARIABLE LLAMAD_LLAMA_CPP_COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    if(NOT LLAMAD_LLAMA_CPP_COMMIT)
        set(LLAMAD_LLAMA_CPP_COMMIT "unknown")
    endif()
else()
    set(pin_file "${CMAKE_CURRENT_LIST_DIR}/llama_cpp_pin.json")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${pin_file}")
    file(READ "${pin_file}" pin)
    string(JSON LLAMAD_LLAMA_CPP_VERSION GET "${pin}" version)
    string(JSON LLAMAD_LLAMA_CPP_COMMIT GET "${pin}" commit)
    execute_process(COMMAND "${Python_EXECUTABLE}" "${CMAKE_CURRENT_LIST_DIR}/fetch_llama_cpp.py"
        OUTPUT_VARIABLE LLAMAD_LLAMA_CPP_SOURCE OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed)
    if(failed)
        message(FATAL_ERROR "llama.cpp's source could not be fetched; the reason stands above.")
    endif()
endif()
message(STATUS "llamad: llama.cpp ${LLAMAD_LLAMA_CPP_COMMIT} in ${LLAMAD_LLAMA_CPP_SOURCE}")

# In a function, so that these choices reach llama.cpp's options and nothing else. What is not named here
# keeps llama.cpp's default and can be set as usual, e.g. -C cmake.define.GGML_OPENMP=OFF.
function(llamad_add_llama_cpp)
    set(BUILD_SHARED_LIBS OFF)
    set(LLAMA_BUILD_COMMON ON)
    foreach(part TESTS TOOLS EXAMPLES SERVER APP UI)
        set(LLAMA_BUILD_${part} OFF)
    endforeach()
    set(LLAMA_USE_PREBUILT_UI OFF)
    set(LLAMA_OPENSSL OFF) # only its downloader uses it, and we never call that
    set(LLAMA_ALL_WARNINGS OFF)
    set(LLAMA_BUILD_NUMBER 0)
    # Otherwise the `git` of whatever tree surrounds the sources is asked, and each of our commits would
    # change a definition and recompile them.
    set(LLAMA_BUILD_COMMIT "${LLAMAD_LLAMA_CPP_COMMIT}")
    set(GGML_CCACHE OFF) # toolchain.cmake has set the launcher
    set(GGML_NATIVE ${LLAMAD_NATIVE})
    set(GGML_CUDA ${LLAMAD_WITH_CUDA})
    # SYSTEM: its headers do not have to pass our warnings.
    add_subdirectory("${LLAMAD_LLAMA_CPP_SOURCE}" "${CMAKE_BINARY_DIR}/llama.cpp" EXCLUDE_FROM_ALL SYSTEM)
endfunction()
llamad_add_llama_cpp()
