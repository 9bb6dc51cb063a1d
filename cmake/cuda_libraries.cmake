# What llama.cpp's CUDA backend is compiled for and linked with. Included where LLAMAD_WITH_CUDA is on, before
# llama.cpp: it takes the targets CUDA::cuda_driver and CUDA::cublas that are there already.

set(CUDAToolkit_NVCC_EXECUTABLE "${CMAKE_CUDA_COMPILER}") # the toolkit of this compiler, not the first on PATH

# Ours, under the name that FindCUDAToolkit would give to the driver's library or to the toolkit's stub of it.
add_library(llamad_cuda_driver STATIC "${CMAKE_CURRENT_LIST_DIR}/../cpp/engine/cuda_driver/cuda_driver.cpp")
add_library(CUDA::cuda_driver ALIAS llamad_cuda_driver)

find_package(CUDAToolkit REQUIRED)
target_include_directories(llamad_cuda_driver SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
target_link_libraries(llamad_cuda_driver PRIVATE ${CMAKE_DL_LIBS})
llamad_compile_options(llamad_cuda_driver)

# A toolkit may come without cuBLAS; the package nvidia-cublas, which PyTorch for CUDA brings along, has it with
# its headers, but under no name that a linker looks for.
if(NOT TARGET CUDA::cublas)
    if(NOT LLAMAD_CUBLAS_PYTHON)
        set(LLAMAD_CUBLAS_PYTHON "${Python_EXECUTABLE}")
    endif()
    execute_process(
        COMMAND "${LLAMAD_CUBLAS_PYTHON}" "${CMAKE_CURRENT_LIST_DIR}/find_cublas.py" "${CUDAToolkit_VERSION_MAJOR}"
        OUTPUT_VARIABLE cublas OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed)
    if(failed)
        message(FATAL_ERROR "cuBLAS ${CUDAToolkit_VERSION_MAJOR} is neither in the CUDA toolkit "
            "(${CUDAToolkit_LIBRARY_DIR}) nor a package of ${LLAMAD_CUBLAS_PYTHON}: install the toolkit's libcublas-dev, "
            "or `pip install 'nvidia-cublas==${CUDAToolkit_VERSION_MAJOR}.*'` and name that Python in "
            "LLAMAD_CUBLAS_PYTHON.")
    endif()
    list(GET cublas 0 cublas_include)
    list(GET cublas 1 cublas_library)
    list(GET cublas 2 cublaslt_library)
    foreach(name cublasLt cublas)
        string(TOLOWER "${name}" lower)
        add_library(CUDA::${name} SHARED IMPORTED)
        set_target_properties(CUDA::${name} PROPERTIES IMPORTED_LOCATION "${${lower}_library}"
            INTERFACE_INCLUDE_DIRECTORIES "${cublas_include};${CUDAToolkit_INCLUDE_DIRS}")
    endforeach()
    target_link_libraries(CUDA::cublas INTERFACE CUDA::cublasLt)
    message(STATUS "llamad: cuBLAS of ${cublas_library}")
endif()

# An installed module finds the CUDA libraries where they were linked from.
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)

llamad_cuda_architectures(CMAKE_CUDA_ARCHITECTURES "${CUDAToolkit_VERSION}")
message(STATUS "llamad: CUDA ${CUDAToolkit_VERSION}, for ${CMAKE_CUDA_ARCHITECTURES}")
