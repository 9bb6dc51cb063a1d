// Devices, and what a model would take of their memory.
#include "bindings.h"

#include "llama/memory_estimate.h"

namespace py = pybind11;

namespace llamad {

namespace {

template <typename Config> py::list estimate(const Config &config) {
    std::vector<MemoryUse> uses;
    {
        const py::gil_scoped_release released;
        uses = estimate_memory(config);
    }
    py::list list;
    for (const MemoryUse &use : uses) {
        py::dict entry;
        entry["device"] = use.device.name;
        entry["total"] = use.device.total;
        entry["free"] = use.device.free;
        entry["weights"] = use.weights;
        entry["context"] = use.context;
        entry["compute"] = use.compute;
        list.append(std::move(entry));
    }
    return list;
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
        list.append(std::move(entry));
    }
    return list;
}

} // namespace

void register_memory(py::module_ &module) {
    module.def("devices", &list_devices, "The processors and GPUs, with their memory in bytes.");
    module.def("estimate_memory", &estimate<EngineConfig>, py::arg("config"),
               "Bytes that loading with this configuration would take of each device.");
    module.def("estimate_memory", &estimate<EmbedderConfig>, py::arg("config"));
}

} // namespace llamad
