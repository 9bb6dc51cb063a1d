#include "bindings.h"

namespace py = pybind11;

PYBIND11_MODULE(_engine, module) {
    module.doc() =
        "The native engine: scheduler, slots and llama.cpp behind a handle that never blocks the loop.";
    module.attr("llama_cpp_commit") = LLAMAD_LLAMA_CPP_COMMIT;
    module.attr("llama_cpp_version") = LLAMAD_LLAMA_CPP_VERSION;
    module.attr("cuda") = LLAMAD_WITH_CUDA;
    llamad::register_errors();
    llamad::register_params(module);
    llamad::register_results(module);
    llamad::register_chat(module);
    llamad::register_engine(module);
    llamad::register_embedder(module);
    llamad::register_memory(module);
    llamad::register_metadata(module);
    llamad::register_quantize(module);
    llamad::register_log(module);
    llamad::register_profiler(module);
}
