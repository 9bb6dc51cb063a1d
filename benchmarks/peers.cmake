# The targets llama-server and llama-batched-bench, from the same llama.cpp as llamad's. Needs llama_cpp.cmake.

# A function, for what is set here must not reach llamad's own directories.
function(llamad_add_peers)
    # The tools' directories alone: llamad's own build turns llama.cpp's tools off, and that choice is part of the
    # flags that have to stay the same.
    set(LLAMA_TOOLS_INSTALL OFF)
    set(LLAMA_BUILD_UI OFF)
    set(LLAMA_USE_PREBUILT_UI OFF)
    set(PROJECT_SOURCE_DIR "${LLAMAD_LLAMA_CPP_SOURCE}") # what these directories take for llama.cpp's root
    foreach(part mtmd ui server batched-bench)
        add_subdirectory("${LLAMAD_LLAMA_CPP_SOURCE}/tools/${part}" "${CMAKE_BINARY_DIR}/tools/${part}"
            EXCLUDE_FROM_ALL SYSTEM)
    endforeach()
    set_target_properties(llama-server llama-batched-bench PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
endfunction()
llamad_add_peers()
