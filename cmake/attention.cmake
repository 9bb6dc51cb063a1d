# Attention on a CPU is computed by cpp/engine/attention. Its function has the name that ggml calls; ggml's own, which
# it falls back to, gets another one where it is defined. So llama.cpp's sources stay as they are.
file(GLOB attention_sources CONFIGURE_DEPENDS "${LLAMAD_INCLUDE_ROOT}/attention/*.cpp")
target_sources(ggml-cpu PRIVATE ${attention_sources})
target_include_directories(ggml-cpu PRIVATE "${LLAMAD_INCLUDE_ROOT}")
set_source_files_properties(${attention_sources} TARGET_DIRECTORY ggml-cpu PROPERTIES COMPILE_OPTIONS -std=c++20)
set_source_files_properties("${LLAMAD_LLAMA_CPP_SOURCE}/ggml/src/ggml-cpu/ops.cpp" TARGET_DIRECTORY ggml-cpu
    PROPERTIES COMPILE_DEFINITIONS ggml_compute_forward_flash_attn_ext=ggml_reference_flash_attn_ext)
