// Devices, and what a model takes, or would take, of their memory.
#include <pybind11/stl.h>

#include "bindings.h"

#include "llama/layer_fit.h"
#include "llama/memory_estimate.h"

namespace py = pybind11;

namespace llamad {

namespace {

template <typename Config> py::list estimate(const Config &config) {
    std::vector<MemoryUse> uses;
    {
        const py::gil_scoped_release released;
        uses = estimate_memory(placed(config));
    }
    return to_list(uses);
}

template <typename Config> py::dict place(const Config &config, const Room &room) {
    Config decided;
    {
        const py::gil_scoped_release released;
        decided = placed(config, room);
    }
    py::dict placement;
    placement["n_gpu_layers"] = decided.n_gpu_layers;
    placement["tensor_split"] = decided.tensor_split;
    return placement;
}

py::list list_devices() {
    std::vector<Device> found;
    {
        const py::gil_scoped_release released; // the first call starts the GPU's driver
        found = devices();
    }
    py::list list;
    for (const Device &device : found) {
        py::dict entry;
        entry["name"] = device.name;
        entry["description"] = to_str(device.description);
        entry["total"] = device.total;
        entry["free"] = device.free;
        entry["usable"] = device.usable();
        list.append(std::move(entry));
    }
    return list;
}

} // namespace

py::list to_list(const std::vector<MemoryUse> &uses) {
    py::list list;
    for (const MemoryUse &use : uses) {
        py::dict entry;
        entry["device"] = use.device.name;
        entry["total"] = use.device.total;
        entry["free"] = use.device.free;
        entry["layers"] = use.n_layers;
        entry["weights"] = use.weights;
        entry["context"] = use.context;
        entry["compute"] = use.compute;
        list.append(std::move(entry));
    }
    return list;
}

void register_memory(py::module_ &module) {
    module.def("devices", &list_devices, "The processors and GPUs, with their memory in bytes.");
    module.def("backends", &backends, "What llamad is built to compute with.");
    module.def("estimate_memory", &estimate<EngineConfig>, py::arg("config"),
               "Bytes that loading with this configuration would take of each device.");
    module.def("estimate_memory", &estimate<EmbedderConfig>, py::arg("config"));
    module.def("place", &place<EngineConfig>, py::arg("config"), py::arg("room"),
               "Layers on GPUs, and their shares, where a model may take so many bytes of each.");
    module.def("place", &place<EmbedderConfig>, py::arg("config"), py::arg("room"));
}

} // namespace llamad
