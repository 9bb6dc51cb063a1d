#include "llama/devices.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "ggml-backend.h"

#include "core/errors.h"
#include "core/host_memory.h"
#include "llama/llama_log.h"

namespace llamad {

namespace {

constexpr std::uint64_t kMostKeptFree = std::uint64_t{1} << 30;

std::string names_of(const std::vector<ggml_backend_device *> &devices) {
    std::string names;
    for (ggml_backend_device *device : devices) {
        names.append(names.empty() ? "" : ", ").append(ggml_backend_dev_name(device));
    }
    return names;
}

// "there is no GPU here" or "the GPUs here are CUDA0, CUDA1".
std::string what_there_is(const std::vector<ggml_backend_device *> &all) {
    if (all.empty()) {
        return "llamad sees no GPU here";
    }
    return "the GPUs here are " + names_of(all);
}

void require_row_split(ggml_backend_device *device) {
    ggml_backend_reg_t backend = ggml_backend_dev_backend_reg(device);
    if (ggml_backend_reg_get_proc_address(backend, "ggml_backend_split_buffer_type") == nullptr) {
        throw ParameterError("split_mode", R"(split_mode "row" is not possible on )" +
                                               std::string(ggml_backend_dev_name(device)) +
                                               R"(; use "layer" or "tensor")");
    }
}

} // namespace

std::uint64_t Device::usable() const { return free - std::min(free / 10, kMostKeptFree); }

Device describe(ggml_backend_device *device) {
    Device described{.name = ggml_backend_dev_name(device),
                     .description = ggml_backend_dev_description(device)};
    if (ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_CPU) {
        const HostMemory memory = host_memory(); // ggml takes all of the machine's memory to be free
        described.total = memory.total;
        described.free = memory.free;
        return described;
    }
    std::size_t total = 0;
    std::size_t free = 0;
    ggml_backend_dev_memory(device, &free, &total);
    described.total = total;
    described.free = free;
    return described;
}

std::vector<ggml_backend_device *> gpus() {
    init_llama_backend();
    std::vector<ggml_backend_device *> found;
    // A processor's own GPU shares the processor's memory: it is used where there is no other.
    for (const auto type : {GGML_BACKEND_DEVICE_TYPE_GPU, GGML_BACKEND_DEVICE_TYPE_IGPU}) {
        for (std::size_t i = 0; i < ggml_backend_dev_count(); ++i) {
            if (ggml_backend_dev_type(ggml_backend_dev_get(i)) == type) {
                found.push_back(ggml_backend_dev_get(i));
            }
        }
        if (!found.empty()) {
            break;
        }
    }
    return found;
}

std::vector<Device> devices() {
    const std::vector<ggml_backend_device *> others = gpus();
    std::vector<Device> found{describe(ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU))};
    std::ranges::transform(others, std::back_inserter(found), describe);
    return found;
}

std::vector<std::string> backends() {
    init_llama_backend();
    std::vector<std::string> names(ggml_backend_reg_count());
    for (std::size_t i = 0; i < names.size(); ++i) {
        names[i] = ggml_backend_reg_name(ggml_backend_reg_get(i));
    }
    return names;
}

std::vector<ggml_backend_device *> gpus_for(const EngineConfig &config) {
    std::vector<ggml_backend_device *> all = gpus();
    const auto main_gpu = static_cast<std::size_t>(config.main_gpu);
    if (main_gpu >= std::max<std::size_t>(all.size(), 1)) {
        throw ParameterError("main_gpu", "main_gpu must be the number of a GPU, counted from 0, got " +
                                             std::to_string(main_gpu) + "; " + what_there_is(all));
    }
    if (!config.tensor_split.empty() && config.tensor_split.size() != all.size()) {
        throw ParameterError("tensor_split", "tensor_split must have a share for each GPU, got " +
                                                 std::to_string(config.tensor_split.size()) + "; " +
                                                 what_there_is(all));
    }
    if (all.empty() || config.n_gpu_layers == 0) {
        return {};
    }
    if (config.split_mode == "none") {
        return {all[main_gpu]};
    }
    if (config.split_mode == "row") {
        std::ranges::for_each(all, require_row_split);
    }
    return all;
}

std::string size_text(std::uint64_t n_bytes) {
    const double mib = static_cast<double>(n_bytes) / (1 << 20);
    std::array<char, 32> text{};
    if (mib < 1024) {
        std::snprintf(text.data(), text.size(), "%.1f MiB", mib);
    } else {
        std::snprintf(text.data(), text.size(), "%.2f GiB", mib / 1024);
    }
    return text.data();
}

std::string shown(const std::vector<ggml_backend_device *> &devices) {
    std::string text;
    for (ggml_backend_device *one : devices) {
        const Device device = describe(one);
        text.append(text.empty() ? "" : ", ").append(device.name).append(" (").append(device.description);
        text.append(", ").append(size_text(device.free)).append(" free of ");
        text.append(size_text(device.total)).append(")");
    }
    return text;
}

} // namespace llamad
